from __future__ import annotations

import math

import numpy as np
import pytest

from w2s_evaluator.monitor.confidences import History, Reference, Totals, bins_of
from w2s_evaluator.monitor.spec import WindowSpec

NOW = 1_000_000.0


def history(observations=2000, age=3600.0):
    return History(2, WindowSpec(observations=observations, age=age))


def take(kept, confidences, now=NOW, first=0):
    kept.take(kept.grown(range(first, first + len(confidences)), confidences, now), now)


def test_bins_part_the_range_that_confidence_has():
    # Of two classes the range is [0.5, 1], and each bin 0.05 wide; of four it is [0.25, 1], and 0.075.
    assert bins_of(np.array([0.5, 0.549, 0.55, 0.97, 1.0]), 2) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins_of(np.array([0.25, 0.33, 1.0]), 4) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    # A rounding short of 1/C, as a float32 softmax gives.
    assert sum(bins_of(np.array([1 / 3 - 1e-8]), 3)) == 1


def test_totals_count_up_to_each_bound():
    totals = Totals().plus([0.5, 0.51, 0.75, 1.0])
    assert totals.counts == (1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0)
    assert totals.sum == pytest.approx(2.76)


def test_the_first_500_are_the_reference_and_the_rest_drifts_from_them():
    kept = history()
    take(kept, [0.6] * 450)
    assert (kept.reference.complete, kept.drift(NOW)) == (False, None)
    take(kept, [0.6] * 149, first=450)
    assert (sum(kept.reference.bins), kept.reference.complete, kept.drift(NOW)) == (500, True, None)
    take(kept, [0.6], first=599)
    # All alike: the half example that each bin has weighs a little more in 100 than in 500.
    assert kept.drift(NOW) == pytest.approx(psi([500, *[0] * 9], [100, *[0] * 9]))
    assert kept.drift(NOW) < 0.1
    take(kept, [0.9] * 100, first=600)
    # 0.6 is in the third bin and 0.9 in the ninth.
    assert kept.drift(NOW) == pytest.approx(psi([500, 0, *[0] * 8], [100, 100, *[0] * 8]))
    assert kept.drift(NOW) > 0.25


def psi(then, now):
    q = [(n + 0.5) / (sum(then) + 5) for n in then]
    p = [(n + 0.5) / (sum(now) + 5) for n in now]
    return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_a_reference_that_was_given_takes_no_more():
    kept = history()
    kept.reference = Reference((100, *[0] * 9), complete=True)
    take(kept, [0.95] * 100)
    assert kept.reference.bins[0] == sum(kept.reference.bins) == 100
    assert kept.drift(NOW) > 1


def test_drift_is_of_the_window_alone():
    kept = history(observations=200)
    kept.reference = Reference((500, *[0] * 9), complete=True)
    take(kept, [0.99] * 300)
    take(kept, [0.5] * 220, first=300)
    assert kept.drift(NOW) < 0.05
    aged = history(age=100.0)
    aged.reference = kept.reference
    take(aged, [0.99] * 300, NOW)
    take(aged, [0.5] * 150, NOW + 90, first=300)
    assert aged.drift(NOW + 90) > 0.25
    assert aged.drift(NOW + 110) < 0.05
    assert aged.drift(NOW + 200) is None


def test_what_is_kept_is_bounded_by_count_and_by_age():
    kept = history(observations=20)
    for start in range(0, 5000, 100):
        take(kept, [0.9] * 100, first=start)
    hashes = kept.recent_hashes()
    assert hashes == list(range(5000 - len(hashes), 5000))
    assert 400 <= len(hashes) <= 420
    take(kept, [0.9], NOW + 4000, first=5000)
    # Of the last stretch before a pause it is not known when it ended.
    assert kept.recent_hashes() == list(range(4980, 5001))
    take(kept, [0.9], NOW + 8000, first=5001)
    assert kept.recent_hashes() == [5000, 5001]


def test_growth_replaces_the_stretch_that_it_continues():
    kept = history(observations=400)
    first = kept.grown(range(15), [0.9] * 15, NOW)
    kept.take(first, NOW)
    second = kept.grown(range(15, 30), [0.9] * 15, NOW)
    assert [stretch.number for stretch in first.stretches] == [1]
    assert [(stretch.number, len(stretch)) for stretch in second.stretches] == [(1, 20), (2, 10)]
    kept.take(second, NOW)
    assert kept.recent_hashes() == list(range(30))
