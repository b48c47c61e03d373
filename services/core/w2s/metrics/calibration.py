"""Confidence against correctness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.proportion import Proportion, wilson

# Bins of the expected calibration error: Guo et al. 2017, section 2.
CALIBRATION_BINS = 15


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


@dataclass(frozen=True)
class Calibration:
    """How confident a model is against how often it is right; None where there is no example.

    Attributes:
        mean_confidence: Mean probability of the predicted class.
        accuracy: The share of right predictions.
        expected_calibration_error: How far the two are apart, bin by bin, in [0, 1].
    """

    mean_confidence: float | None
    accuracy: float | None
    expected_calibration_error: float | None


@dataclass(frozen=True)
class CalibrationShift:
    """The student's calibration less its supervisor's; None where either has no example.

    Attributes:
        expected_calibration_error: Above 0: the student is the worse calibrated.
        overconfidence: Of mean confidence - accuracy. Above 0: the student claims more
            than it can, compared with its supervisor.
    """

    expected_calibration_error: float | None
    overconfidence: float | None


def calibration_bins(confidence: NDArray[np.floating], bins: int = CALIBRATION_BINS) -> NDArray[np.intp]:
    """The bin of each example, shape [N]: m - 1 where confidence is in ((m - 1)/M, m/M]."""
    return np.clip(np.ceil(np.asarray(confidence, dtype=np.float64) * bins).astype(np.intp) - 1, 0, bins - 1)


def calibration(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> Calibration:
    """Mean confidence, accuracy and expected calibration error.

    ECE = sum_m |B_m|/N |acc(B_m) - conf(B_m)|,   B_m = examples with confidence in ((m-1)/M, m/M]

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2, M = 15.

    Args:
        confidence: Probability of the predicted class, shape [N], in [0, 1].
        correct: Whether it is the true class, shape [N].
        bins: M, >= 1.
    """
    if len(confidence) == 0:
        return Calibration(None, None, None)
    excess = np.asarray(correct, dtype=np.float64) - confidence
    apart = np.abs(np.bincount(calibration_bins(confidence, bins), excess)).sum() / len(excess)
    return Calibration(float(np.mean(confidence)), float(np.mean(correct)), float(apart))


def calibration_shift(student: Calibration, supervisor: Calibration) -> CalibrationShift:
    """How the student's calibration differs from its supervisor's, on the same examples.

    ECE(S) - ECE(W), and (conf(S) - acc(S)) - (conf(W) - acc(W)).
    """
    return CalibrationShift(
        _less(student.expected_calibration_error, supervisor.expected_calibration_error),
        _less(
            _less(student.mean_confidence, student.accuracy),
            _less(supervisor.mean_confidence, supervisor.accuracy),
        ),
    )


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
