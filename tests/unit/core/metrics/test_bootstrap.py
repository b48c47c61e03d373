from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.metrics import (
    Estimate,
    Interval,
    bootstrap_means,
    bootstrap_seed_means,
    bootstrap_seed_statistics,
    estimate,
    estimate_mean,
    estimates,
    wilson,
)
from w2s.metrics.bootstrap import resamples, summarise


def draws(counts, replicates: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(resamples(np.array(counts), replicates, seed)))


@pytest.mark.parametrize("counts", [[1] * 7, [3, 0, 4], [2, 0, 1, 1, 0, 1, 1, 1], [1]])
def test_a_replicate_draws_as_many_examples_as_there_are(counts):
    drawn = draws(counts, 50)
    assert drawn.shape == (50, len(counts))
    assert (drawn.sum(axis=1) == sum(counts)).all()
    assert (drawn[:, np.array(counts) == 0] == 0).all()


@pytest.mark.parametrize(("counts", "share"), [([1] * 8, 1 / 8), ([2, 6], 1 / 4)], ids=["one by one", "by kind"])
def test_counts_are_multinomial(counts, share):
    first = draws(counts, 40_000)[:, 0]
    # Mean N p and variance N p (1 - p), of N = 8; within five standard errors.
    variance = 8 * share * (1 - share)
    assert first.mean() == pytest.approx(8 * share, abs=5 * np.sqrt(variance / 40_000))
    assert first.var() == pytest.approx(variance, rel=0.06)
    # No example is drawn with probability (1 - p)^8.
    assert (first == 0).mean() == pytest.approx((1 - share) ** 8, abs=0.013)


def test_all_series_are_of_the_same_draws():
    values = np.random.default_rng(0).normal(size=50)
    means = bootstrap_means(np.stack([values, 2 * values + 1]), 100, seed=3)
    np.testing.assert_allclose(means[1], 2 * means[0] + 1)
    assert np.unique(means[0]).size == 100


def test_many_alike_examples_vary_as_much_as_as_many_different_ones():
    shares = np.arange(2000) < 500
    alike = estimate_mean(shares)
    different = estimate_mean(shares + np.linspace(0, 1e-9, 2000))
    # sqrt(.25 * .75 / 2000); a standard deviation of 2,000 replicates is known to 1.6 %.
    for found in (alike, different):
        assert found.standard_error == pytest.approx(0.0096825, rel=0.07)
        assert found.value == pytest.approx(0.25)


def test_standard_error_and_interval_are_those_of_a_mean():
    # 0, 1 .. 99: mean 49.5, variance (100^2 - 1) / 12 = 833.25, over 100 examples 8.3325 = 2.8866^2.
    found = estimate_mean(np.arange(100), replicates=4000)
    assert (found.value, found.n) == (49.5, 100)
    assert found.standard_error == pytest.approx(2.8866, rel=0.05)
    assert (found.interval.low, found.interval.high) == pytest.approx((49.5 - 5.66, 49.5 + 5.66), abs=0.5)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [
        estimate_mean(rng.exponential(size=200), replicates=300, level=0.9, seed=trial).interval for trial in range(200)
    ]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    # .9 +- 3 standard errors of 200 trials, and the bootstrap's own percent or two
    assert 0.82 <= covered <= 0.964


def test_weights_count_an_example_more():
    values, weights = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 2.0, 1.0, 4.0])
    # (0 + 2 + 2 + 20) / 8
    assert estimate_mean(values, weights=weights).value == pytest.approx(3.0)
    even = estimate_mean(values, weights=np.full(4, 7.0))
    assert even.value == estimate_mean(values).value
    assert even.standard_error == pytest.approx(estimate_mean(values).standard_error, rel=0.07)


def test_an_example_that_outweighs_all_others_carries_the_uncertainty():
    values = np.tile([0.0, 1.0], 100)
    even, uneven = estimate_mean(values), estimate_mean(values, weights=np.geomspace(1, 1e6, 200))
    assert uneven.standard_error > 2 * even.standard_error


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_interval_holds_the_value(values, seed):
    found = estimate_mean(np.array(values), replicates=50, seed=seed)
    assert found.interval.low <= found.value <= found.interval.high
    assert min(values) <= found.value <= max(values)


def test_interval_holds_even_a_value_that_noise_only_raises():
    # |mean| of values around 0: every replicate is further from 0 than the data are.
    values = np.tile([-1.0, 1.0], 50)
    found = estimate(lambda drawn: np.abs(drawn @ values) / 100, np.ones(100, dtype=int))
    assert (found.value, found.interval.low) == (0, 0)
    assert found.interval.high > 0.1


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_none_or_all_still_has_a_width(share):
    found = estimate_mean(np.full(20, share, dtype=bool))
    assert found.value == share
    assert found.interval == wilson(20 * share, 20).interval
    assert found.interval.high - found.interval.low > 0.1


def test_a_weighted_share_of_all_is_as_wide_as_what_it_is_worth():
    # (8 + 12)^2 / (8 * 1 + 4 * 9) = 9.09: as nine alike ones.
    found = estimate_mean(np.ones(12, dtype=bool), weights=np.repeat([1.0, 3.0], [8, 4]))
    assert (found.value, found.n) == (1, 12)
    assert found.interval == wilson(9, 9).interval
    assert estimate_mean(np.ones(12, dtype=bool), weights=np.full(12, 0.1)).interval == wilson(12, 12).interval


def test_seeds_are_drawn_too():
    # Two seeds, 0 everywhere and 1 everywhere: a replicate is 0, 1/2 or 1, with 1/4, 1/2 and 1/4.
    values = np.repeat([[0.0], [1.0]], 30, axis=1)[None]
    drawn = bootstrap_seed_means(np.concatenate([values, 1 - values]), 4000, seed=0)
    assert [(drawn[0] == share).mean() for share in (0, 0.5, 1)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    np.testing.assert_array_equal(drawn.sum(axis=0), 1)


def test_one_seed_is_no_more_than_its_examples():
    values = np.random.default_rng(0).random((3, 1, 40))
    drawn = bootstrap_seed_means(values, 50, seed=5)
    np.testing.assert_array_equal(drawn, bootstrap_means(values[:, 0], 50, seed=5))


def test_statistics_that_are_means_are_drawn_as_means_are():
    values = np.random.default_rng(0).random((3, 2, 40))
    means = [[lambda drawn, own=own: drawn @ own / 40 for own in model] for model in values]
    drawn = bootstrap_seed_statistics(means, np.ones(40, dtype=int), 50, seed=5)
    np.testing.assert_allclose(drawn, bootstrap_seed_means(values, 50, seed=5))


def test_figures_of_one_call_are_of_the_same_draws():
    values = np.random.default_rng(0).random(40)
    found = estimates(
        {"sum": lambda drawn: drawn @ values, "less": lambda drawn: 40 - drawn @ values}, np.ones(40, dtype=int)
    )
    assert found["less"].interval.low == pytest.approx(40 - found["sum"].interval.high)
    assert found["less"].standard_error == pytest.approx(found["sum"].standard_error)


def test_equal_values_that_are_no_shares_do_not_vary():
    assert estimate_mean(np.full(30, 0.1)) == Estimate(0.1, 30, pytest.approx(0, abs=1e-12), Interval(0.1, 0.1))


def test_nothing_has_no_mean_and_one_example_no_uncertainty():
    assert estimate_mean(np.array([])) == Estimate(None, 0, None, None)
    assert estimate_mean(np.array([0.3])) == Estimate(0.3, 1, None, None)


def test_an_undefined_figure_has_no_value_and_undefined_replicates_are_left_out():
    def first_kind(drawn):
        return np.where(drawn[:, 0] > 0, 2.0, np.nan)

    assert estimate(first_kind, np.array([0, 5])) == Estimate(None, 5, None, None)
    # A third of the replicates lacks the one example of the first kind.
    assert estimate(first_kind, np.array([1, 5])) == Estimate(2.0, 6, 0.0, Interval(2.0, 2.0))


def test_seed_determines_the_interval():
    values = np.random.default_rng(0).normal(size=50)
    assert estimate_mean(values, seed=1) == estimate_mean(values, seed=1)
    assert estimate_mean(values, seed=1).interval != estimate_mean(values, seed=2).interval


def test_memory_does_not_grow_with_the_replicates():
    values = np.random.default_rng(0).random(20_000)
    peaks = []
    for replicates in (20, 400):
        tracemalloc.start()
        estimate_mean(values, replicates=replicates)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ([0.0, np.nan], None),
        ([0.0, np.inf], None),
        ([[0.0]], None),
        ([0.0, 1.0], [1.0]),
        ([0.0, 1.0], [1.0, 0.0]),
        ([0.0, 1.0], [1.0, np.nan]),
    ],
)
def test_refuses_what_has_no_mean(values, weights):
    with pytest.raises(ValueError, match="values must be"):
        estimate_mean(np.array(values), weights=None if weights is None else np.array(weights))


def test_kinds_of_two_examples_each_are_drawn_as_many_times_as_there_are_examples():
    (drawn,) = resamples(np.array([2, 2, 2]), 50, 0)
    assert (drawn.sum(axis=1) == 6).all()


def test_what_is_no_share_may_have_a_mean_of_one():
    found = estimate_mean(np.array([0.0, 1.0, 2.0, 1.0] * 5))
    assert found.value == 1
    assert found.interval.low < 1 < found.interval.high


def test_an_error_is_that_of_a_sample_and_two_replicates_are_enough():
    found = summarise(2.0, np.array([1.0, np.nan, 3.0]), 5, 0.5)
    # sqrt(((1 - 2)^2 + (3 - 2)^2) / (2 - 1)); a quarter in from each end.
    assert (found.standard_error, found.interval.low, found.interval.high) == (pytest.approx(2**0.5), 1.5, 2.5)
    assert summarise(2.0, np.array([1.0, np.nan]), 5, 0.5).interval is None
