from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from w2s.metrics import Proportion, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_gives_the_published_intervals(successes, n, low, high):
    share = wilson(successes, n)
    assert share.value == successes / n
    assert (share.interval.low, share.interval.high) == pytest.approx((low, high), abs=5e-5)
    assert share.n == n


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_agrees_with_scipy_and_holds_the_share(counts, level):
    share = wilson(*counts, level)
    expected = binomtest(*counts).proportion_ci(level, method="wilson")
    assert (share.interval.low, share.interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= share.interval.low <= share.value <= share.interval.high <= 1


def test_no_example_has_no_share():
    assert wilson(0, 0) == Proportion(None, None, 0)


@pytest.mark.parametrize("successes", [-1, 11])
def test_refuses_more_successes_than_examples(successes):
    with pytest.raises(ValueError, match=r"\[0, 10\]"):
        wilson(successes, 10)
