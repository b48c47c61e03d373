from __future__ import annotations

import numpy as np
import pytest

from w2s.metrics import (
    Direction,
    Interval,
    MedianPgr,
    Pgr,
    PgrStatus,
    median_pgr,
    performance_gap_recovered,
    pgr,
    pgr_of_draws,
)


def arm(right: int, n: int) -> np.ndarray:
    """One seed that has its first `right` examples right, shape [1, n]."""
    return (np.arange(n) < right)[None]


def simulate(rng: np.random.Generator, n: int, *accuracies: float) -> list[np.ndarray]:
    return [rng.random((1, n)) < accuracy for accuracy in accuracies]


@pytest.mark.parametrize(
    ("weak", "student", "ceiling", "expected"),
    [
        (0.6, 0.7, 0.8, 0.5),  # 0.1 / 0.2
        (0.6, 0.6, 0.8, 0.0),
        (0.6, 0.5, 0.8, -0.5),  # worse than its supervisor
        (0.6, 0.9, 0.8, 1.5),  # better than the ceiling
        (0.4, 0.25, 0.2, 0.75),  # lower is better: -0.15 / -0.2
    ],
)
def test_ratio_of_two_gaps(weak, student, ceiling, expected):
    assert performance_gap_recovered(weak, student, ceiling) == pytest.approx(expected)


def test_ratio_of_many_at_once():
    ratios = performance_gap_recovered(np.array([0.5, 0.6]), np.array([0.6, 0.6]), np.array([0.7, 0.8]))
    np.testing.assert_allclose(ratios, [0.5, 0.0])


def test_no_gap_is_no_number():
    with pytest.raises(ZeroDivisionError):
        performance_gap_recovered(0.6, 0.7, 0.6)


def test_value_is_the_ratio_of_mean_accuracies_and_the_interval_is_around_it():
    found = pgr(arm(100, 200), arm(150, 200), arm(180, 200))
    assert found.status is PgrStatus.OK
    assert found.value == pytest.approx(50 / 80)
    assert found.interval.low < 50 / 80 < found.interval.high
    assert found.interval.level == 0.95


@pytest.mark.parametrize(("student", "expected"), [(100, 0.0), (180, 1.0)], ids=["as the weak", "as the ceiling"])
def test_what_the_models_share_cancels_in_every_replicate(student, expected):
    found = pgr(arm(100, 200), arm(student, 200), arm(180, 200))
    assert (found.value, found.interval.low, found.interval.high) == (expected, expected, expected)


@pytest.mark.parametrize(
    ("weak", "ceiling", "status"),
    [
        (50, 50, PgrStatus.UNDEFINED_GAP),
        (50, 40, PgrStatus.UNDEFINED_GAP),
        # k gained and none lost: a replicate has no gap with probability (1 - k/100)^100, against 2.5 %:
        (50, 53, PgrStatus.GAP_BELOW_NOISE),  # 0.97^100 = 4.8 %
        (50, 56, PgrStatus.OK),  # 0.94^100 = 0.2 %
    ],
)
def test_status_says_whether_the_gap_carries_a_number(weak, ceiling, status):
    found = pgr(arm(weak, 100), arm(51, 100), arm(ceiling, 100))
    assert found.status is status
    assert ((found.value is None), (found.interval is None)) == ((status is not PgrStatus.OK),) * 2


def test_a_model_compared_with_itself_has_no_pgr_whatever_the_gap():
    found = pgr(arm(50, 100), arm(60, 100), arm(90, 100), same_model=True)
    assert (found.value, found.interval, found.status) == (None, None, PgrStatus.SAME_MODEL)


def test_less_of_a_loss_is_a_gap_the_other_way():
    rng = np.random.default_rng(0)
    toxicity = rng.random((2, 300)) / 2
    # Means lower by .1, .25 and .3 exactly: (.25 - .1) / (.3 - .1).
    weak, student, ceiling = toxicity - 0.1, toxicity - 0.25, toxicity - 0.3
    found = pgr(weak, student, ceiling, direction=Direction.LOWER)
    assert found.status is PgrStatus.OK
    assert found.value == pytest.approx(0.75)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.75, 0.75))
    assert pgr(weak, student, ceiling).status is PgrStatus.UNDEFINED_GAP
    assert pgr(ceiling, student, weak, direction=Direction.LOWER).status is PgrStatus.UNDEFINED_GAP


def test_a_loss_within_noise_is_no_gap():
    rng = np.random.default_rng(0)
    weak, ceiling = rng.random((1, 50)), rng.random((1, 50))
    weak, ceiling = weak - weak.mean() + 0.5, ceiling - ceiling.mean() + 0.49
    assert pgr(weak, weak, ceiling, direction=Direction.LOWER).status is PgrStatus.GAP_BELOW_NOISE


def test_accuracy_and_error_rate_have_one_pgr():
    arms = arm(100, 200), arm(150, 200), arm(180, 200)
    wrong = pgr(*(1.0 - one for one in arms), direction=Direction.LOWER)
    right = pgr(*arms)
    assert wrong.value == pytest.approx(right.value)
    assert (wrong.interval.low, wrong.interval.high) == pytest.approx(
        (right.interval.low, right.interval.high), abs=0.02
    )


def test_median_is_of_those_that_mean_something():
    around = Interval(0.0, 1.0)
    ok = [Pgr(value, around, PgrStatus.OK) for value in (0.9, 0.1, 0.2, 0.6)]
    other = [Pgr(None, None, status) for status in PgrStatus if status is not PgrStatus.OK]
    assert median_pgr(ok + other) == MedianPgr(pytest.approx(0.4), n_ok=4, n_total=7)
    assert median_pgr(ok[:3]).value == 0.2
    assert median_pgr(other) == MedianPgr(None, 0, 3)
    assert median_pgr([]) == MedianPgr(None, 0, 0)


def test_seed_determines_the_interval():
    arms = arm(100, 200), arm(150, 200), arm(180, 200)
    assert pgr(*arms, seed=1) == pgr(*arms, seed=1)
    assert pgr(*arms, seed=1).interval != pgr(*arms, seed=2).interval


def test_interval_covers_the_true_value_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [
        pgr(*simulate(rng, 300, 0.6, 0.75, 0.9), level=0.9, replicates=300, seed=trial).interval for trial in range(200)
    ]
    covered = np.mean([interval.low <= 0.5 <= interval.high for interval in intervals])
    # 0.9 +- 3 standard errors of 200 trials
    assert 0.836 <= covered <= 0.964


def test_several_seeds_are_pooled_and_resampled():
    # The student equals the weak model at one seed and the ceiling at the other.
    weak, ceiling = np.repeat(arm(100, 200), 2, axis=0), np.repeat(arm(180, 200), 2, axis=0)
    found = pgr(weak, np.concatenate([arm(100, 200), arm(180, 200)]), ceiling)
    assert found.value == pytest.approx(0.5)
    assert (found.interval.low, found.interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    "arms",
    [
        [np.ones(4, bool)] * 3,
        [np.ones((0, 4), bool)] * 3,
        [np.ones((2, 0), bool)] * 3,
        [np.ones((1, 4), bool), np.ones((1, 4), bool), np.ones((1, 5), bool)],
        [np.full((1, 4), np.nan)] * 3,
    ],
    ids=["no seeds axis", "no seed", "no example", "unequal", "not a number"],
)
def test_arrays_of_another_shape_are_refused(arms):
    with pytest.raises(ValueError, match=r"must be|must have the same shape"):
        pgr(*arms)


@pytest.mark.parametrize(("gapless", "status"), [(25, PgrStatus.OK), (26, PgrStatus.GAP_BELOW_NOISE)])
def test_a_gap_is_noise_where_more_replicates_than_one_tail_lack_it(gapless, status):
    drawn = np.stack([np.full(100, 0.5), np.full(100, 0.6), np.where(np.arange(100) < gapless, 0.4, 0.7)])
    found = pgr_of_draws(np.array([0.5, 0.6, 0.7]), drawn, level=0.5)
    assert found.status is status


def test_one_number_that_is_none_is_refused():
    losses = np.full((1, 4), 0.5)
    with pytest.raises(ValueError, match="finite"):
        pgr(np.array([[0.5, np.nan, 0.5, 0.5]]), losses, losses)
