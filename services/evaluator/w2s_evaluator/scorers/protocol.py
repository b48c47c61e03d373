"""What a scorer of generated answers offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from w2s.metrics.directions import Direction


class AnswerScorer(Protocol):
    """Scores answers to one prompt at a time."""

    @property
    def name(self) -> str:
        """Name of the metric and of its column, such as `exact_match`."""

    @property
    def direction(self) -> Direction:
        """Which way the score gets better."""

    def score(self, prompt: str, reference: str, answers: Sequence[str]) -> list[float]:
        """One score in [0, 1] for each answer.

        Args:
            prompt: What was asked.
            reference: The dataset's completion; some scorers ignore it.
            answers: Each sample of the model.
        """
        ...
