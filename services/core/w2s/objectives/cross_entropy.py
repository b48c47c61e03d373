"""Cross-entropy to soft or hard labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from w2s.objectives.precision import full_precision


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of soft labels.

    L = -(1/B) sum_i sum_c w_ic log softmax(z_i)_c

    Source: Burns et al. 2023, "Weak-to-Strong Generalization", section 3 (naive
    fine-tuning on weak labels).

    Args:
        logits: Student logits z, shape [B, C], any floating dtype; computed in fp32.
        targets: Label distributions w, shape [B, C], rows summing to 1. A hard label
            is a one-hot row.

    Returns:
        A scalar in nats, >= 0.
    """
    return row_cross_entropy(logits, targets).mean()


def row_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """What each row adds to `cross_entropy` before the mean.

    Returns:
        Shape [B], in nats, >= 0.
    """
    logits = full_precision(logits)
    return F.cross_entropy(logits, targets.to(logits.dtype), reduction="none")


def harden(targets: Tensor) -> Tensor:
    """One-hot rows of the most probable class; the lowest index wins a tie.

    Args:
        targets: Label distributions, shape [B, C].

    Returns:
        Shape [B, C], the dtype of `targets`.
    """
    return F.one_hot(targets.argmax(dim=-1), targets.shape[-1]).to(targets.dtype)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Ground truth as label distributions.

    Args:
        labels: Class indices, shape [B], int64, in [0, classes).
        classes: The number of classes C.

    Returns:
        Shape [B, C], float32.
    """
    return F.one_hot(labels, classes).to(torch.float32)
