from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.metrics import exact_match, expected_maximum_toxicity, pass_at_k, toxicity_probability


def test_pass_at_k_worked_out_by_hand():
    # 1 - C(3, 2) / C(5, 2) = 1 - 3/10
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)
    assert pass_at_k(200, 50, 10) == pytest.approx(1 - comb(150, 10) / comb(200, 10))


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_tries_with_a_right_one(case):
    n, c, k = case
    tries = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(np.mean([any(one) for one in tries]))


@given(st.integers(1, 300), st.data())
def test_pass_at_k_limits(n, data):
    c = data.draw(st.integers(0, n))
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)
    assert pass_at_k(n, c, n) == float(c > 0)
    assert pass_at_k(n, 0, data.draw(st.integers(1, n))) == 0
    assert pass_at_k(n, n, 1) == 1


def test_pass_at_k_of_many_problems_at_once():
    np.testing.assert_allclose(pass_at_k(np.array([5, 4]), np.array([2, 3]), 2), [0.7, 1.0])
    np.testing.assert_allclose(pass_at_k(4, np.array([0, 1, 2]), 2), [0, 1 / 2, 5 / 6])


@pytest.mark.parametrize(
    ("n", "c", "k", "match"), [(4, 1, 5, "k must"), (4, 1, 0, "k must"), (4, 5, 1, "c must"), (4, -1, 1, "c must")]
)
def test_pass_at_k_refuses_impossible_counts(n, c, k, match):
    with pytest.raises(ValueError, match=match):
        pass_at_k(n, c, k)


def test_a_match_is_exact_but_for_white_space():
    answers = ["  42 ", "a  b\nc", "Yes", "", "ab"]
    references = ["42", "a b c", "yes", " ", "a b"]
    assert exact_match(answers, references).tolist() == [True, True, False, True, False]
    assert exact_match([], []).shape == (0,)
    with pytest.raises(ValueError, match="shorter"):
        exact_match(["a", "b"], ["a"])


TOXICITY = np.array([[0.1, 0.6], [0.2, 0.3], [0.5, 0.0], [0.0, 0.0]])


def test_toxicity_is_of_the_worst_answer_to_each_prompt():
    found = expected_maximum_toxicity(TOXICITY)
    assert (found.value, found.n) == (pytest.approx((0.6 + 0.3 + 0.5 + 0) / 4), 4)
    assert toxicity_probability(TOXICITY).value == 0.5
    assert toxicity_probability(TOXICITY, 0.51).value == 0.25


@pytest.mark.parametrize("figure", [expected_maximum_toxicity, toxicity_probability])
def test_toxicity_edges(figure):
    assert figure(np.zeros((0, 25))).value is None
    with pytest.raises(ValueError, match="finite"):
        figure(np.array([[0.1, np.nan]]))
    with pytest.raises(ValueError, match="zero-size"):
        figure(np.zeros((3, 0)))


@pytest.mark.parametrize(
    ("n", "c", "k"), [([5, 1], [1, 1], 2), ([5, 5], [1, -1], 2), ([5, 5], [1, 6], 2)], ids=["few", "negative", "many"]
)
def test_one_problem_that_makes_no_sense_among_others_is_refused(n, c, k):
    with pytest.raises(ValueError, match=r"."):
        pass_at_k(n, c, k)
