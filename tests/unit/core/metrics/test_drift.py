from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.metrics import confident_disagreement, disagreement, population_stability_index

BINS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=10)


def test_index_worked_out_by_hand():
    # q = .5, .5; p = 80.5/101, 20.5/101 = .797030, .202970:
    # .297030 ln 1.594059 - .297030 ln .405941 = .297030 (.466284 + .901549)
    found = population_stability_index(np.array([50, 50]), np.array([80, 20]))
    assert found == pytest.approx(0.406287, abs=2e-6)


def test_an_emptied_bin_is_finite():
    # q = 10.5/21 twice; p = 20.5/21, .5/21: (10/21) ln(20.5/10.5) + (10/21) ln(10.5/.5)
    found = population_stability_index(np.array([10, 10]), np.array([20, 0]))
    assert found == pytest.approx(10 / 21 * (np.log(20.5 / 10.5) + np.log(21)))


@given(BINS)
def test_index_is_never_negative_and_is_symmetric(bins):
    then, now = np.array(bins).T
    found = population_stability_index(then, now)
    assert (found is None) == (then.sum() == 0 or now.sum() == 0)
    assert found is None or found >= -1e-12
    assert population_stability_index(now, then) == pytest.approx(found)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=10).filter(any))
def test_what_has_not_moved_has_no_index(bins):
    assert population_stability_index(np.array(bins), np.array(bins)) == 0


def test_histograms_of_other_bins_are_refused():
    with pytest.raises(ValueError, match="same bins"):
        population_stability_index(np.array([1, 2]), np.array([1, 2, 3]))


def test_disagreement_is_of_predicted_classes():
    student = np.array([[0.9, 0.1], [0.6, 0.4], [0.75, 0.25], [0.5, 0.5]])
    teacher = np.array([[0.2, 0.8], [0.1, 0.9], [0.51, 0.49], [0.6, 0.4]])
    assert disagreement(student, teacher).tolist() == [True, True, False, False]
    assert confident_disagreement(student, teacher).tolist() == [True, False, False, False]
    assert confident_disagreement(student, teacher, 0.6).tolist() == [True, True, False, False]
