"""Figures of preference pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.bootstrap import estimate_mean
from w2s.metrics.estimate import Estimate


def pair_accuracy(
    margins: NDArray[np.floating], *, replicates: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """The share of pairs whose preferred answer scores no less than the other.

    mean_i [r(preferred_i) - r(rejected_i) >= 0]

    Source: Yang et al. 2024, "Super(ficial)-alignment", whose published code counts a tie
    as right. A model that gives all answers one reward therefore scores 1.

    Args:
        margins: r(preferred) - r(rejected), shape [N], finite.
        replicates: Bootstrap replicates, >= 1.
        level: The interval's coverage, in (0, 1).
        seed: Seeds the bootstrap.

    Raises:
        ValueError: A margin is not finite.
    """
    if not np.isfinite(margins).all():
        raise ValueError("margins must be finite")
    return estimate_mean(np.asarray(margins) >= 0, replicates=replicates, level=level, seed=seed)
