"""Confidence against correctness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.proportion import Proportion, wilson


@dataclass(frozen=True)
class ReliabilityBin:
    """Examples whose confidence is in (low, high]; the first bin holds `low` too.

    Attributes:
        mean_confidence: Mean probability of the predicted class; None when empty.
        accuracy: How many of them are right.
    """

    low: float
    high: float
    mean_confidence: float | None
    accuracy: Proportion


def reliability(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], classes: int, bins: int = 10
) -> list[ReliabilityBin]:
    """Equal-width reliability bins over the range [1/C, 1] that confidence can take.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

    Args:
        confidence: Probability of the predicted class, shape [N], in [1/C, 1].
        correct: Whether it is the true class, shape [N].
        classes: The number of classes C, >= 2.
        bins: How many bins, >= 1.
    """
    edges = np.linspace(1 / classes, 1, bins + 1)
    # A float32 softmax can fall a rounding short of 1/C, hence the clip.
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return [
        ReliabilityBin(
            float(edges[b]),
            float(edges[b + 1]),
            float(confidence[index == b].mean()) if (index == b).any() else None,
            wilson(int(correct[index == b].sum()), int((index == b).sum())),
        )
        for b in range(bins)
    ]
