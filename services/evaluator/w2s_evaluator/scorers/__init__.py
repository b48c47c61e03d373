"""What is measured of generated answers."""

from __future__ import annotations

from functools import cache

from w2s.artifacts import ArtifactStore
from w2s_evaluator.scorers.exact import ExactMatch
from w2s_evaluator.scorers.math import Judge, Mathematics
from w2s_evaluator.scorers.move import Move
from w2s_evaluator.scorers.protocol import AnswerScorer, ScorerKind
from w2s_evaluator.scorers.refusal import Refusal
from w2s_evaluator.scorers.toxicity import toxicity_scorer
from w2s_evaluator.settings import EvaluatorSettings


def make(kind: ScorerKind, settings: EvaluatorSettings, store: ArtifactStore) -> AnswerScorer:
    """What measures answers in one way.

    Raises:
        InvalidArgument, NotFound, DataLoss: As `toxicity_scorer`.
    """
    if kind is ScorerKind.EXACT_MATCH:
        return ExactMatch()
    if kind is ScorerKind.MATH:
        return Mathematics(_judge())
    if kind is ScorerKind.MOVE:
        return Move()
    if kind is ScorerKind.REFUSAL:
        return Refusal()
    return toxicity_scorer(settings, store)


@cache
def _judge() -> Judge:
    # Importing sympy takes a second: one process serves every evaluation.
    return Judge()
