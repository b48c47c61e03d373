"""Whether an answer is the reference, word for word."""

from __future__ import annotations

from collections.abc import Sequence

from w2s.metrics import METRICS
from w2s_evaluator.scorers.protocol import ScorerKind


class ExactMatch:
    """1 where answer and reference are the same text, once both are trimmed and white space is one space."""

    name = ScorerKind.EXACT_MATCH.metric
    direction = METRICS[name]

    def score(self, reference: str, answers: Sequence[str]) -> list[float]:
        """As `AnswerScorer.score`."""
        expected = self.canonical(reference)
        return [float(self.canonical(answer) == expected) for answer in answers]

    def canonical(self, answer: str) -> str:
        """As `Matcher.canonical`."""
        return " ".join(answer.split())
