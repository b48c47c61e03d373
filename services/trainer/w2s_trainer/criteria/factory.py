"""The criterion of an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from w2s_trainer.criteria.classes import (
    AuxiliaryConfidenceCriterion,
    ConfidenceWindowCriterion,
    CrossEntropyCriterion,
    ProductConfidenceCriterion,
)
from w2s_trainer.criteria.completions import CompletionCriterion
from w2s_trainer.criteria.preferences import DpoCriterion, OrpoCriterion, SimPoCriterion
from w2s_trainer.criteria.rewards import RewardCriterion
from w2s_trainer.loop.contract import Criterion
from w2s_trainer.spec import Averaging, ConfidenceWindow, Objective

_MAKERS: dict[str, Callable[[Any], Criterion]] = {
    "cross_entropy": CrossEntropyCriterion,
    "auxiliary_confidence": AuxiliaryConfidenceCriterion,
    "product_confidence": ProductConfidenceCriterion,
    "reward_modeling": RewardCriterion,
    "sft": lambda settings: CompletionCriterion(settings.averaging),
    "language_modeling": lambda _: CompletionCriterion(Averaging.TOKENS),
    "dpo": DpoCriterion,
    "simpo": SimPoCriterion,
    "orpo": OrpoCriterion,
}


def criterion(objective: Objective, radius: float | None = None) -> Criterion:
    """What the loop minimises for an objective.

    Args:
        objective: The objective.
        radius: The radius of a confidence window whose settings leave it to the labels
            (`w2s.objectives.median_radius` of those trained on).

    Raises:
        InvalidArgument: A confidence window has no radius.
    """
    if isinstance(objective.loss, ConfidenceWindow):
        return ConfidenceWindowCriterion(objective.loss, radius)
    return _MAKERS[objective.name](objective.loss)
