"""What was read, as a parent of what is made from it."""

from __future__ import annotations

from w2s.artifacts.manifest import Parent
from w2s.artifacts.tables.answers import Answers
from w2s.artifacts.tables.completions import CompletionDataset
from w2s.artifacts.tables.examples import Dataset
from w2s.artifacts.tables.labels import Labels
from w2s.artifacts.tables.pairs import PairDataset
from w2s.artifacts.tables.predictions import Predictions


def parent(role: str, artifact: Dataset | PairDataset | CompletionDataset | Labels | Predictions | Answers) -> Parent:
    """An artifact as a parent of another."""
    return Parent(role=role, uri=artifact.ref.uri, digest=artifact.ref.digest)
