from __future__ import annotations

from math import comb, erfc, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from w2s.metrics import McNemar, agreement, mcnemar, wilson


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


def differing(only_a: int, only_b: int, both: int = 5) -> tuple[np.ndarray, np.ndarray]:
    flags = [(True, False)] * only_a + [(False, True)] * only_b + [(True, True)] * both + [(False, False)] * both
    a, b = np.array(flags).T
    return a, b


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (8, 2, 112 / 1024),  # 2 (1 + 10 + 45) / 2^10
        (0, 5, 2 / 32),
        (0, 0, 1.0),
        (3, 3, 1.0),
        (60, 40, 0.05743),  # (20 - 1)^2 / 100 = 3.61
        (40, 60, 0.05743),
        (30, 30, 1.0),
    ],
)
def test_mcnemar_worked_out_by_hand(only_a, only_b, p):
    assert mcnemar(*differing(only_a, only_b)) == McNemar(only_a, only_b, pytest.approx(p, abs=5e-6))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_scipy(only_a, only_b):
    n = only_a + only_b
    if n < 25:
        expected = binomtest(only_a, n).pvalue if n else 1.0
    else:
        expected = chi2.sf(max(abs(only_a - only_b) - 1, 0) ** 2 / n, 1)
    assert mcnemar(*differing(only_a, only_b)).p_value == pytest.approx(expected)


def test_mcnemar_refuses_other_examples():
    with pytest.raises(ValueError, match="same examples"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def test_the_exact_test_ends_below_25_that_differ():
    def p_value(only_student, only_supervisor):
        student = np.array([True] * only_student + [False] * only_supervisor)
        return mcnemar(~student, student).p_value

    # 2 P(X <= 5 | 24 fair coins); erfc(sqrt(((20 - 5) - 1)^2 / 25 / 2)).
    assert p_value(19, 5) == pytest.approx(2 * sum(comb(24, i) for i in range(6)) / 2**24, rel=1e-12)
    assert p_value(20, 5) == pytest.approx(erfc(sqrt(14**2 / 25 / 2)), rel=1e-12)
