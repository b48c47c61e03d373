from __future__ import annotations

import numpy as np
import pytest

from w2s.metrics import pair_accuracy, wilson


def test_a_tie_counts_as_right():
    found = pair_accuracy(np.array([1.5, -0.1, 0.0, -0.0, -2.0]))
    assert (found.value, found.n) == (pytest.approx(3 / 5), 5)


def test_one_reward_for_all_is_always_right():
    found = pair_accuracy(np.zeros(30))
    assert found.value == 1
    assert found.interval == wilson(30, 30).interval


def test_no_pair_has_no_accuracy_and_no_margin_is_refused():
    assert pair_accuracy(np.zeros(0)).value is None
    with pytest.raises(ValueError, match="margins"):
        pair_accuracy(np.array([0.0, np.nan]))
