"""Preference optimisation without a reference, on length-normalised log-probabilities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from w2s.objectives.pairs import Pair


def simpo_loss(policy: Pair, beta: float, gamma: float) -> Tensor:
    """Simple preference optimisation.

    L_i = -log s(beta [S(c)/|c| - S(r)/|r|] - gamma)

    Source: Meng et al. 2024, "SimPO", equation 6. gamma is not multiplied by beta; the
    paper's tables and its code set the ratio gamma/beta (`gamma_beta_ratio`) instead.

    Args:
        policy: Mean log-probabilities of the completions' tokens (`mean_log_probs`).
        beta: The scale of the rewards, > 0; 2 in the deception paper.
        gamma: By how much the chosen reward must be ahead, >= 0; 1 in the deception paper,
            a ratio of 0.5.

    Returns:
        Each pair's loss, shape [B], in nats, >= 0; the objective is their mean.
    """
    return -F.logsigmoid(beta * policy.margin - gamma)
