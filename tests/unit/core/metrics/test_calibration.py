from __future__ import annotations

import numpy as np
import pytest

from w2s.metrics import Calibration, CalibrationShift, calibration, calibration_shift, reliability, wilson
from w2s.metrics.calibration import calibration_bins


def test_bins_hold_their_upper_edge_and_the_first_its_lower_too():
    # Edges of two classes and four bins: 0.5, 0.625, 0.75, 0.875, 1.
    confidence = np.array([0.5, 0.625, 0.7, 0.75, 0.9, 1.0])
    correct = np.array([True, False, True, True, False, True])
    found = reliability(confidence, correct, classes=2, bins=4)
    assert [(b.low, b.high) for b in found] == [(0.5, 0.625), (0.625, 0.75), (0.75, 0.875), (0.875, 1.0)]
    assert [b.accuracy for b in found] == [wilson(1, 2), wilson(2, 2), wilson(0, 0), wilson(1, 2)]
    # (0.5 + 0.625) / 2, (0.7 + 0.75) / 2, -, (0.9 + 1) / 2
    assert [b.mean_confidence for b in found] == [
        pytest.approx(0.5625),
        pytest.approx(0.725),
        None,
        pytest.approx(0.95),
    ]


@pytest.mark.parametrize(("value", "bin_"), [(np.float32(1 / 3) - np.float32(1e-7), 0), (np.float32(1.0000001), 9)])
def test_rounding_past_either_end_stays_in_the_end_bins(value, bin_):
    found = reliability(np.array([value]), np.array([True]), classes=3)
    assert [b.accuracy.n for b in found] == [int(b == bin_) for b in range(10)]


# Bins of a fifteenth: .70 and .72 share (10/15, 11/15], .95 and 1 the last.
CONFIDENCE = np.array([0.70, 0.72, 0.95, 1.0])
CORRECT = np.array([True, False, True, True])


def test_calibration_worked_out_by_hand():
    # (|1 - 1.42| + |2 - 1.95|) / 4
    assert calibration(CONFIDENCE, CORRECT) == Calibration(
        pytest.approx(0.8425), 0.75, pytest.approx((0.42 + 0.05) / 4)
    )
    # In one bin the two cancel: |3 - 3.37| / 4.
    assert calibration(CONFIDENCE, CORRECT, bins=1).expected_calibration_error == pytest.approx(0.0925)


def test_calibration_bins_hold_their_upper_edge_and_the_first_its_lower_too():
    assert calibration_bins(np.array([0, 0.25, 0.26, 0.5, 0.51, 1]), 4).tolist() == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("confidence", [0.0, 1e-9, np.float32(1.0000001)])
def test_confidence_at_either_end_has_a_bin(confidence):
    found = calibration(np.array([confidence]), np.array([False]))
    assert found.expected_calibration_error == pytest.approx(float(confidence))


def test_shift_is_the_student_less_its_supervisor():
    student, supervisor = Calibration(0.9, 0.6, 0.3), Calibration(0.7, 0.65, 0.1)
    # (.9 - .6) - (.7 - .65)
    assert calibration_shift(student, supervisor) == CalibrationShift(pytest.approx(0.2), pytest.approx(0.25))


def test_no_example_has_no_calibration_and_no_shift():
    nothing = calibration(np.zeros(0), np.zeros(0, bool))
    assert nothing == Calibration(None, None, None)
    assert calibration_shift(Calibration(0.9, 0.6, 0.3), nothing) == CalibrationShift(None, None)


def test_a_confidence_that_rounding_pushed_past_one_is_in_the_last_bin():
    assert calibration_bins(np.array([1 + 1e-9, 1.0, 0.0]), 4).tolist() == [3, 3, 0]
