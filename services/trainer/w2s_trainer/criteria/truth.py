"""Pairs against ground truth."""

from __future__ import annotations

import torch
from torch import Tensor

from w2s.objectives import Pair


def truth_accuracy(pair: Pair, correct: Tensor) -> Tensor:
    """1 where what the ground truth prefers is ahead, 1/2 where both are equal, else 0; shape [B], fp32.

    Args:
        pair: What is compared.
        correct: Whether the ground truth prefers the chosen one, shape [B], bool.
    """
    return torch.where(correct, pair.accuracy, 1 - pair.accuracy)
