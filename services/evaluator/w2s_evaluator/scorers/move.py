"""Whether an answer begins with the right chess move."""

from __future__ import annotations

from collections.abc import Sequence

from w2s.metrics import METRICS
from w2s.tasks.generated.moves import normal_move, same_move
from w2s_evaluator.scorers.protocol import ScorerKind


class Move:
    """1 where an answer begins with the reference's move in standard notation, marks of check and mate aside."""

    name = ScorerKind.MOVE.metric
    direction = METRICS[name]

    def score(self, reference: str, answers: Sequence[str]) -> list[float]:
        """As `AnswerScorer.score`."""
        return [float(same_move(answer, reference)) for answer in answers]

    def canonical(self, answer: str) -> str:
        """As `Matcher.canonical`."""
        return normal_move(answer)
