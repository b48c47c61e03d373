"""The criterion of reward models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from w2s.objectives import Pair, bradley_terry_loss, harden, reward_conflict
from w2s_trainer.criteria.base import RowMean
from w2s_trainer.criteria.truth import truth_accuracy
from w2s_trainer.spec import RewardModeling


class RewardCriterion(RowMean):
    """Rewards [2B, 1], of the first completions and then the second ones, against `preferences`.

    A conflict reads `truth`: 0 where the first completion is preferred.
    """

    rows_of = "preferences"

    def __init__(self, settings: RewardModeling) -> None:
        self._settings = settings

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The components `bradley_terry` and, with a conflict, `conflict`."""
        rewards = _rewards(outputs)
        wanted = targets["preferences"]
        if self._settings.harden:
            wanted = harden(_distribution(wanted))[:, 0]
        terms = {"bradley_terry": bradley_terry_loss(*rewards, wanted, self._settings.margin, self._settings.centering)}
        if self._settings.conflict is not None:
            terms["conflict"] = self._settings.conflict.weight * reward_conflict(rewards, targets["truth"] == 0)
        return terms

    def measures(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`label_accuracy` and `reward_margin` of what the labels prefer, and `truth_accuracy`."""
        first, second = _rewards(outputs.detach())
        swapped = _distribution(targets["preferences"]).argmax(dim=-1).bool()
        preferred = Pair(torch.where(swapped, second, first), torch.where(swapped, first, second))
        figures = {"label_accuracy": preferred.accuracy, "reward_margin": preferred.margin}
        if "truth" in targets:
            figures["truth_accuracy"] = truth_accuracy(Pair(first, second), targets["truth"] == 0)
        return figures


def _rewards(outputs: Tensor) -> Pair:
    return Pair(*outputs.squeeze(-1).chunk(2))


def _distribution(preferences: Tensor) -> Tensor:
    return torch.stack([preferences, 1 - preferences], dim=-1)
