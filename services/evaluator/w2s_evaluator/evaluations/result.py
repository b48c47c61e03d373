"""What an evaluation found."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from w2s.artifacts import ArtifactRef
from w2s.metrics import Direction, Estimate, Proportion, ReliabilityBin


@dataclass(frozen=True)
class Metric:
    """A metric over all examples, or over those of one slice.

    Attributes:
        name: Its name.
        slice: The slice; empty for all.
        estimate: The figure.
        direction: Which way it gets better.
    """

    name: str
    slice: str
    estimate: Estimate
    direction: Direction


@dataclass(frozen=True)
class Result:
    """What an evaluation found; stored as JSON.

    Attributes:
        predictions: The artifact with one prediction a row.
        accuracy: The share of right predictions; None of answers and benchmarks.
        reliability: Bins of confidence; none of answers and benchmarks.
        metrics: Every metric, over all examples first, then slice by slice.
    """

    predictions: ArtifactRef
    accuracy: Proportion | None
    reliability: list[ReliabilityBin]
    metrics: list[Metric]


RESULT: TypeAdapter[Result] = TypeAdapter(Result)
