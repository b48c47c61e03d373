"""Explicit conflict: what the deception paper adds to a loss to reward being wrong.

Source of all: Yang et al. 2024, "Super(ficial)-alignment", and its code,
keven980716/weak-to-strong-deception, train.py (`reward_type`). Each term is added to the
loss on weak labels with the weight alpha = 0.5. It needs the ground truth while training:
the experimenter sets the conflict. Implicit conflict is no formula but more data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from w2s.objectives.bradley_terry import bradley_terry_loss
from w2s.objectives.dpo import dpo_loss
from w2s.objectives.pairs import Pair
from w2s.objectives.precision import full_precision
from w2s.objectives.simpo import simpo_loss


def wrong(policy: Pair, correct: Tensor) -> Tensor:
    """Where the student prefers the completion that the ground truth rejects.

    m_i = [(chosen_i >= rejected_i) != correct_i]

    As published, a student that is undecided prefers what is called chosen.

    Args:
        policy: What the student compares: its rewards, or its log-probabilities without
            the reference's. Pairs may be in any order, such as that of weak labels.
        correct: Whether the ground truth prefers the chosen one, shape [B], bool or 0 and 1.

    Returns:
        Shape [B], bool.
    """
    return (policy.margin >= 0) != correct.bool()


def reward_conflict(rewards: Pair, correct: Tensor) -> Tensor:
    """The term for a reward model.

    L_i = -m_i log s(r(y-) - r(y+)),   m = wrong(r)

    where the ground truth prefers y+ to y-.

    Args:
        rewards: The student's rewards.
        correct: As `wrong` takes it.

    Returns:
        Each pair's term, shape [B], in nats, >= 0; to be averaged over all B pairs.
    """
    against = _against(rewards, correct)
    return bradley_terry_loss(*against, torch.ones_like(against.chosen)) * wrong(rewards, correct)


def simpo_conflict(policy: Pair, correct: Tensor, beta: float, gamma: float) -> Tensor:
    """The term for SimPO.

    L_i = -m_i log s(beta [R(y-) - R(y+)] - gamma),   R(y) = S(y)/|y|,   m = wrong(R)

    Args:
        policy: Mean log-probabilities of the completions' tokens (`mean_log_probs`).
        correct: As `wrong` takes it.
        beta: As `simpo_loss` takes it.
        gamma: As `simpo_loss` takes it.

    Returns:
        Each pair's term, shape [B], in nats, >= 0; to be averaged over all B pairs.
    """
    return simpo_loss(_against(policy, correct), beta, gamma) * wrong(policy, correct)


def dpo_conflict(policy: Pair, reference: Pair, correct: Tensor, beta: float) -> Tensor:
    """The term for DPO.

    L_i = -m_i log s(beta [(S_pi(y-) - S_pi(y+)) - (S_ref(y-) - S_ref(y+))]),   m = wrong(S_pi)

    The reference has no say in who is wrong.

    Args:
        policy: Summed log-probabilities of the completions under the policy.
        reference: The same under the reference; no gradient flows to it.
        correct: As `wrong` takes it.
        beta: As `dpo_loss` takes it.

    Returns:
        Each pair's term, shape [B], in nats, >= 0; to be averaged over all B pairs.
    """
    return dpo_loss(_against(policy, correct), _against(reference, correct), beta) * wrong(policy, correct)


def sft_conflict(means: Pair, compared: Pair, correct: Tensor) -> Tensor:
    """The other term for SimPO and DPO: fine-tuning on what the ground truth rejects (`sft`, not `reverse`).

    L_i = -m_i S(y-)/|y-|,   m = wrong(compared)

    The published mean is over the padded length; this one is over the completion's tokens.

    Args:
        means: Mean log-probabilities of the completions' tokens (`mean_log_probs`).
        compared: What decides who is wrong: the means for SimPO, the sums for DPO.
        correct: As `wrong` takes it.

    Returns:
        Each pair's term, shape [B], in nats a token, >= 0; to be averaged over all B pairs.
    """
    return -full_precision(_against(means, correct).chosen) * wrong(compared, correct)


def _against(pair: Pair, correct: Tensor) -> Pair:
    """The pair with what the ground truth rejects in the place of the chosen one."""
    correct = correct.bool()
    return Pair(
        torch.where(correct, pair.rejected, pair.chosen),
        torch.where(correct, pair.chosen, pair.rejected),
    )
