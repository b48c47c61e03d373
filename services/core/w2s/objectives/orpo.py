"""Odds ratio preference optimisation: fine-tuning and preferences in one loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from w2s.objectives.pairs import Pair
from w2s.objectives.precision import full_precision


def log_odds(log_probs: Tensor) -> Tensor:
    """Log-odds of log-probabilities.

    log P - log(1 - P)

    Args:
        log_probs: log P, any shape, <= 0. One closer to 0 than fp32's epsilon counts as
            that far, without gradient: the odds of certainty are infinite.

    Returns:
        The same shape, fp32; at most 15.9.
    """
    log_probs = full_precision(log_probs)
    log_probs = log_probs.clamp(max=-torch.finfo(log_probs.dtype).eps)
    # 1 - P by expm1 keeps its digits as P nears 1; as P nears 0 its logarithm nears 0 and cannot matter.
    return log_probs - torch.log(-torch.expm1(log_probs))


def odds_ratio_loss(policy: Pair) -> Tensor:
    """The preference part of ORPO.

    L_i = -log s(log odds(c) - log odds(r)),   odds(y) = P(y) / (1 - P(y))

    with P(y) = exp(S(y)/|y|).

    Source: Hong et al. 2024, "ORPO", equations 4 and 7.

    Args:
        policy: Mean log-probabilities of the completions' tokens (`mean_log_probs`).

    Returns:
        Each pair's loss, shape [B], in nats, >= 0. Its gradient grows without bound as the
        rejected completion becomes certain; that is the published loss.
    """
    return -F.logsigmoid(log_odds(policy.chosen) - log_odds(policy.rejected))


def orpo_loss(policy: Pair, weight: float) -> Tensor:
    """Odds ratio preference optimisation.

    L_i = -S(c)/|c| + lambda odds_ratio_loss(policy)_i

    Source: Hong et al. 2024, "ORPO", equation 6, as LLaMA-Factory computes it for
    "Weak-to-Strong Reasoning": over the completion alone. TRL takes the first term over
    the prompt too, and calls lambda beta.

    Args:
        policy: Mean log-probabilities of the completions' tokens (`mean_log_probs`).
        weight: The weight lambda, >= 0; about 0.1.

    Returns:
        Each pair's loss, shape [B], in nats, >= 0; the objective is their mean.
    """
    return weight * odds_ratio_loss(policy) - full_precision(policy.chosen)
