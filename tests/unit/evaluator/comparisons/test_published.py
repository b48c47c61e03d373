from __future__ import annotations

import asyncio
import time

import pytest

from w2s.metrics import PgrStatus
from w2s_evaluator.comparisons.spec import ComparisonSpec, DeceptionSpec

N = 40


@pytest.fixture
def compared(predicted):
    """A comparison of models of which so many of 40 answers are right, by role."""

    def make(name, weak=10, student=20, ceiling=30):
        counts = {"weak": weak, "student": student, "ceiling": ceiling}
        refs = {role: [predicted(f"{name}-{role}-{n}", [0.9] * n + [0.1] * (N - n))] for role, n in counts.items()}
        return ComparisonSpec(**refs, publish_as=name)

    return make


def names(samples, gauge="score"):
    return {sample[1] for sample in samples if sample[0] == gauge}


async def test_a_comparison_is_exported_and_exported_again_after_a_restart(evaluator, compared):
    begin = time.time()
    async with evaluator() as one:
        found = await one.comparisons.compare(compared("boolq"))
        before = one.samples
    async with evaluator() as one:
        after = one.samples

    shown = {key: value for key, value in after.items() if "boolq" in key}
    assert shown == {key: value for key, value in before.items() if "boolq" in key}
    assert begin - 1 < shown.pop(("published_timestamp_seconds", "boolq")) < time.time() + 1
    assert shown == {
        ("pgr", "boolq"): 0.5,
        ("pgr_low", "boolq"): found.pgr.interval.low,
        ("pgr_high", "boolq"): found.pgr.interval.high,
        ("pgr_status", "boolq", "OK"): 1,
        ("score", "boolq", "weak"): 0.25,
        ("score", "boolq", "student"): 0.5,
        ("score", "boolq", "ceiling"): 0.75,
        # Right and wrong together on 30, all 10 that the supervisor has right and 20 of the 30 others.
        ("agreement", "boolq", "any"): 0.75,
        ("agreement", "boolq", "right"): 1,
        ("agreement", "boolq", "wrong"): pytest.approx(2 / 3),
    }


async def test_what_is_undefined_is_absent(evaluator, compared):
    async with evaluator() as one:
        await one.comparisons.compare(compared("a"))
        # The next one has the name to itself, and no supervisor's error to agree with.
        found = await one.comparisons.compare(compared("a", weak=40, student=20, ceiling=30))
        assert found.pgr.status is PgrStatus.UNDEFINED_GAP
        shown = {key: value for key, value in one.samples.items() if "a" in key}
    shown.pop(("published_timestamp_seconds", "a"))
    assert shown == {
        ("pgr_status", "a", "UNDEFINED_GAP"): 1,
        ("score", "a", "weak"): 1,
        ("score", "a", "student"): 0.5,
        ("score", "a", "ceiling"): 0.75,
        ("agreement", "a", "any"): 0.5,
        ("agreement", "a", "right"): 0.5,
    }


async def test_an_assessment_shares_a_name_with_a_comparison(evaluator, compared, predicted):
    # Wrong on 24 that the strong model knows, 18 of them unknown to the weak one, which knows 16 of 40.
    weak, student = [0.9] * 6 + [0.55] * 18 + [0.9] * 10 + [0.55] * 6, [0.1] * 24 + [0.9] * 16
    of_truth = {"weak": weak, "strong": [0.9] * 40, "student": student}
    refs = {role: predicted(role, column) for role, column in of_truth.items()}
    async with evaluator() as one:
        await one.comparisons.compare(compared("both"))
        between = time.time()
        found = await one.comparisons.assess(DeceptionSpec(**refs, publish_as="both"))
        shown = {key: value for key, value in one.samples.items() if "both" in key}
    assert (shown[("pgr", "both")], shown[("published_timestamp_seconds", "both")] >= between) == (0.5, True)
    score = ("both", "errors")
    interval = found.figures.ds_errors.interval
    assert (shown[("deception_score_low", *score)], shown[("deception_score", *score)]) == (interval.low, 0.75)
    assert (shown[("deception_score_high", *score)], shown[("deception_items", "both")]) == (interval.high, 24)
    assert not [key for key in shown if "conflict_tax" in key]
    assert shown[("deception_base_rate", "both")] == 24 / 40
    assert shown[("deception_lift", "both")] == pytest.approx(0.75 / 0.6)
    # Labels in the order of their names: name, outcome, strong, weak.
    areas = {key[2:]: value for key, value in shown.items() if key[0] == "deception_area_examples"}
    assert areas == {
        ("right", "known", "known"): 10,
        ("wrong", "known", "known"): 6,
        ("right", "known", "unknown"): 6,
        ("wrong", "known", "unknown"): 18,
        ("right", "unknown", "known"): 0,
        ("wrong", "unknown", "known"): 0,
        ("right", "unknown", "unknown"): 0,
        ("wrong", "unknown", "unknown"): 0,
    }
    assert shown[("blind_spot_rate", "both")] == 18 / 40
    assert shown[("blind_spot_rate_low", "both")] < 18 / 40 < shown[("blind_spot_rate_high", "both")]


async def test_names_are_capped_and_what_is_dropped_is_counted(evaluator, compared):
    async with evaluator(limit=2) as one:
        for name in ("a", "b", "c", "a", "c"):
            assert (await one.comparisons.compare(compared(name))).pgr.value == 0.5
        assert names(one.samples) == {"a", "b"}
        assert one.samples[("dropped_series_total", "published")] == 2


async def test_two_replicas_show_the_same(evaluator, compared):
    async with evaluator(refresh_s=0.01) as one, evaluator() as two:
        assert await two.comparisons.compare(compared("a"))
        async with asyncio.timeout(10):
            while not names(one.samples):
                await asyncio.sleep(0.01)
        shown = [{key: value for key, value in found.samples.items() if "a" in key} for found in (one, two)]
        assert shown[0] == shown[1]


async def test_every_gauge_is_announced_before_anything_is_published(evaluator):
    async with evaluator() as one:
        announced = {family.name for family in one.registry.collect()}
        assert {
            "w2s_evaluator_pgr",
            "w2s_evaluator_deception_score_low",
            "w2s_evaluator_published_timestamp_seconds",
        } <= announced
        assert names(one.samples) == set()
