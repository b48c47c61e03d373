"""The product of confidences: weak labels sharpened by what the student believes."""

from __future__ import annotations

import torch
from torch import Tensor

from w2s.objectives.cross_entropy import row_cross_entropy
from w2s.objectives.precision import full_precision


def product_targets(logits: Tensor, targets: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """The normalised product of the weak and the student's probabilities.

    q_ic = p_ic^beta w_ic^alpha / sum_k p_ik^beta w_ik^alpha,   p = softmax(z)

    Source: openai/weak-to-strong, loss.py. Computed from logarithms: where p and w are
    sure of opposite classes, the published quotient is 0/0.

    Args:
        logits: Student logits z, shape [B, C].
        targets: Weak soft labels w, shape [B, C], rows summing to 1; zeros stay zeros.
        alpha: The power of the weak labels, >= 0.
        beta: The power of the student's probabilities, >= 0.

    Returns:
        Distributions q, shape [B, C], fp32, without gradient.
    """
    log_p = torch.log_softmax(full_precision(logits.detach()), dim=-1)
    # xlogy is 0 at alpha = 0, also where w = 0.
    log_w = torch.special.xlogy(torch.tensor(alpha, dtype=log_p.dtype), targets.to(log_p.dtype))
    return torch.softmax(beta * log_p + log_w, dim=-1)


def product_loss(logits: Tensor, targets: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """Cross-entropy to the product of the weak and the student's probabilities.

    L_i = -sum_c q_ic log softmax(z_i)_c,   q = product_targets(z, w), without gradient

    Source: openai/weak-to-strong, loss.py. Its warm-up setting is read nowhere, so there
    is none here.

    Args:
        logits: Student logits z, shape [B, C], any floating dtype; computed in fp32.
        targets: Weak soft labels w, shape [B, C], rows summing to 1.
        alpha: The power of the weak labels, >= 0.
        beta: The power of the student's probabilities, >= 0.

    Returns:
        Each row's loss, shape [B], in nats, >= 0; the objective is their mean.
    """
    return row_cross_entropy(logits, product_targets(logits, targets, alpha, beta))
