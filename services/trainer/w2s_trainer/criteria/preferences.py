"""Criteria of language models that learn preferences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from w2s.objectives import (
    Pair,
    dpo_conflict,
    dpo_loss,
    dpo_rewards,
    log_odds,
    odds_ratio_loss,
    sft_conflict,
    simpo_conflict,
    simpo_loss,
)
from w2s_trainer.criteria.base import RowMean
from w2s_trainer.criteria.truth import truth_accuracy
from w2s_trainer.spec import ConflictTerm, Dpo, Orpo, SimPo


class PreferenceCriterion(RowMean):
    """Summed log-probabilities [2B] of the chosen completions and then the rejected ones.

    Targets are `counts` of their tokens, shape [B, 2], where it is known `correct`: whether
    the ground truth prefers the chosen one, shape [B], and the `reference`'s sums, shape
    [B, 2], for DPO. A conflict reads `correct`.
    """

    rows_of = "counts"

    def measures(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`label_accuracy`, `truth_accuracy` and `reward_margin` by the loss's rewards; `nll` of the chosen one."""
        sums = _pair(outputs.detach())
        rewards = self._rewards(sums, targets)
        figures = {
            "label_accuracy": rewards.accuracy,
            "reward_margin": rewards.margin,
            "nll": -_means(sums, targets).chosen,
        }
        if "correct" in targets:
            figures["truth_accuracy"] = truth_accuracy(rewards, targets["correct"])
        return figures

    @abstractmethod
    def _rewards(self, sums: Pair, targets: Mapping[str, Tensor]) -> Pair:
        """What the loss is a function of the margin of."""


class DpoCriterion(PreferenceCriterion):
    """As `w2s.objectives.dpo_loss`."""

    def __init__(self, settings: Dpo) -> None:
        self._settings = settings

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The components `dpo`, and `sft` and `conflict` where they are set."""
        sums, beta, conflict = _pair(outputs), self._settings.scale, self._settings.conflict
        means = _means(sums, targets)
        policy, reference = self._compared(sums, targets)
        terms = {"dpo": dpo_loss(policy, reference, beta, self._settings.label_smoothing)}
        if self._settings.sft_weight:
            terms["sft"] = -self._settings.sft_weight * means.chosen
        if conflict is not None and conflict.term is ConflictTerm.SFT:
            terms["conflict"] = conflict.weight * sft_conflict(means, policy, targets["correct"])
        elif conflict is not None:
            terms["conflict"] = conflict.weight * dpo_conflict(policy, reference, targets["correct"], beta)
        return terms

    def _rewards(self, sums: Pair, targets: Mapping[str, Tensor]) -> Pair:
        return dpo_rewards(*self._compared(sums, targets), self._settings.scale)

    def _compared(self, sums: Pair, targets: Mapping[str, Tensor]) -> tuple[Pair, Pair]:
        """Sums of policy and reference, or their means."""
        reference = Pair(*targets["reference"].unbind(-1))
        if self._settings.length_normalized:
            return _means(sums, targets), _means(reference, targets)
        return sums, reference


class SimPoCriterion(PreferenceCriterion):
    """As `w2s.objectives.simpo_loss`."""

    def __init__(self, settings: SimPo) -> None:
        self._settings = settings

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The components `simpo` and, with a conflict, `conflict`."""
        beta, gamma, conflict = self._settings.beta, self._settings.gamma, self._settings.conflict
        means = _means(_pair(outputs), targets)
        terms = {"simpo": simpo_loss(means, beta, gamma)}
        if conflict is not None and conflict.term is ConflictTerm.SFT:
            terms["conflict"] = conflict.weight * sft_conflict(means, means, targets["correct"])
        elif conflict is not None:
            terms["conflict"] = conflict.weight * simpo_conflict(means, targets["correct"], beta, gamma)
        return terms

    def _rewards(self, sums: Pair, targets: Mapping[str, Tensor]) -> Pair:
        means = _means(sums, targets)
        return Pair(self._settings.beta * means.chosen, self._settings.beta * means.rejected)


class OrpoCriterion(PreferenceCriterion):
    """As `w2s.objectives.orpo_loss`, in two components."""

    def __init__(self, settings: Orpo) -> None:
        self._settings = settings

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The components `sft` and `odds_ratio`."""
        means = _means(_pair(outputs), targets)
        return {"sft": -means.chosen, "odds_ratio": self._settings.weight * odds_ratio_loss(means)}

    def _rewards(self, sums: Pair, targets: Mapping[str, Tensor]) -> Pair:
        means = _means(sums, targets)
        return Pair(log_odds(means.chosen), log_odds(means.rejected))


def _pair(outputs: Tensor) -> Pair:
    return Pair(*outputs.float().chunk(2))


def _means(sums: Pair, targets: Mapping[str, Tensor]) -> Pair:
    """Log-probabilities of a mean token, from those of whole completions."""
    chosen, rejected = targets["counts"].unbind(-1)
    return Pair(sums.chosen / chosen, sums.rejected / rejected)
