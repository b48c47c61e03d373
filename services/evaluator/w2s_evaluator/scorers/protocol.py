"""What a scorer of generated answers offers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

from w2s.metrics import Direction


class ScorerKind(StrEnum):
    """What is measured of answers: the values of the proto's enum."""

    EXACT_MATCH = "ANSWER_SCORER_EXACT_MATCH"
    MATH = "ANSWER_SCORER_MATH"
    TOXICITY = "ANSWER_SCORER_TOXICITY"
    REFUSAL = "ANSWER_SCORER_REFUSAL"
    MOVE = "ANSWER_SCORER_MOVE"

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.name.lower()

    @property
    def matches(self) -> bool:
        """Whether its scorer is a `Matcher`."""
        return self in (ScorerKind.EXACT_MATCH, ScorerKind.MATH, ScorerKind.MOVE)


class AnswerScorer(Protocol):
    """Scores answers to one prompt at a time."""

    @property
    def name(self) -> str:
        """Name of the metric and of its column, such as `exact_match`."""

    @property
    def direction(self) -> Direction:
        """Which way the score gets better."""

    def score(self, reference: str, answers: Sequence[str]) -> list[float]:
        """One score in [0, 1] for each answer, finite; equal answers have equal scores.

        Args:
            reference: The dataset's completion; some scorers ignore it.
            answers: Each sample of the model.
        """
        ...


@runtime_checkable
class Matcher(AnswerScorer, Protocol):
    """A scorer that compares an answer with the reference: 1 is right, 0 wrong."""

    def canonical(self, answer: str) -> str:
        """What answers that say the same have in common, such as the final number of a solution."""
        ...
