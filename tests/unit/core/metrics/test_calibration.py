from __future__ import annotations

import numpy as np
import pytest

from w2s.metrics import reliability, wilson


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
