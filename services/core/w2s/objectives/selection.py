"""Which weak labels to train on: those that the weak supervisor is sure of."""

from __future__ import annotations

from torch import Tensor


def high_confidence(targets: Tensor, threshold: float) -> Tensor:
    """Where the weak supervisor is sure.

    max_c w_ic >= T

    Source: Yang et al. 2024, "Super(ficial)-alignment" (T = 0.75); without its code's look
    at the ground truth, which `oracle_high_confidence` has. A preference s is [1 - s, s];
    that code takes s from a margin m as the logistic of m for SimPO, of m / 50 for DPO.

    Args:
        targets: Weak soft labels w, shape [N, C].
        threshold: The confidence T, in [0, 1].

    Returns:
        Shape [N], bool.
    """
    return targets.amax(dim=-1) >= threshold


def oracle_high_confidence(targets: Tensor, truth: Tensor, threshold: float) -> Tensor:
    """Where the weak supervisor is sure, and right. No honest run knows this.

    Source: keven980716/weak-to-strong-deception, train_simpo.py, which filters so: weak
    labels that are sure but wrong are gone too.

    Args:
        targets: Weak soft labels w, shape [N, C].
        truth: True classes, shape [N], int64.
        threshold: The confidence T, in [0, 1].

    Returns:
        Shape [N], bool.
    """
    return high_confidence(targets, threshold) & (targets.argmax(dim=-1) == truth)
