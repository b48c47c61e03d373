from __future__ import annotations

import numpy as np

from w2s.metrics import agreement, wilson


def test_splits_agreement_by_whether_the_supervisor_is_right():
    truth = np.array([0, 0, 1, 1, 2, 2])
    weak = np.array([0, 1, 1, 0, 2, 0])  # right: 1 0 1 0 1 0
    strong = np.array([0, 1, 0, 0, 2, 2])  # same as the supervisor: 1 1 0 1 1 0
    found = agreement(strong, weak, truth)
    assert found.overall == wilson(4, 6)
    assert found.supervisor_right == wilson(2, 3)
    assert found.supervisor_wrong == wilson(2, 3)


def test_both_wrong_in_different_ways_is_no_agreement():
    found = agreement(np.array([1, 2]), np.array([2, 2]), np.array([0, 0]))
    assert found.supervisor_wrong == wilson(1, 2)
    assert found.supervisor_right == wilson(0, 0)
