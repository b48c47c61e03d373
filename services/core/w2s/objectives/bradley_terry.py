"""Reward models from preferences."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from w2s.objectives.precision import full_precision


def bradley_terry_loss(
    first: Tensor, second: Tensor, preferences: Tensor, margin: Tensor | float = 0.0, centering: float = 0.0
) -> Tensor:
    """Cross-entropy of the Bradley-Terry model to soft preferences.

    L_i = -q_i log s(d_i - m_i) - (1 - q_i) log s(-d_i - m_i) + k (r_i1 + r_i2)^2

    with d = r_1 - r_2 and s the logistic function. It does not change when the slots are
    swapped, and with them q and 1 - q.

    Source: keven980716/weak-to-strong-deception, loss.py (`bce_loss`: soft labels of a weak
    reward model, no margin). The margin is that of Touvron et al. 2023, "Llama 2",
    equation 2, which knows only q = 1; asking it of either slot extends it to soft labels.
    Centering: Eisenstein et al. 2023, as in TRL's `center_rewards_coefficient`.

    Args:
        first: Rewards r_1 of the completions in the first slot, shape [B], any floating
            dtype; computed in fp32.
        second: Rewards r_2 of those in the second slot, shape [B].
        preferences: The probability q that the first one is preferred, shape [B], in [0, 1].
        margin: By how much m the preferred reward must be ahead, >= 0; a number or shape [B].
        centering: The weight k, >= 0, that keeps rewards around zero.

    Returns:
        Each pair's loss, shape [B], in nats, >= 0; the objective is their mean.
    """
    first, second = full_precision(first), full_precision(second)
    preferences = preferences.to(first.dtype)
    difference = first - second
    likelihood = preferences * F.logsigmoid(difference - margin) + (1 - preferences) * F.logsigmoid(
        -difference - margin
    )
    return centering * (first + second).square() - likelihood
