"""What an evaluation found."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from w2s.artifacts import ArtifactRef
from w2s.metrics import Proportion, ReliabilityBin


@dataclass(frozen=True)
class Result:
    """What an evaluation found; stored as JSON."""

    predictions: ArtifactRef
    accuracy: Proportion
    reliability: list[ReliabilityBin]


RESULT: TypeAdapter[Result] = TypeAdapter(Result)
