from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from w2s.jobs import Job, State
from w2s_evaluator.evaluations.metrics import EvaluationMetrics

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return EvaluationMetrics(registry)


def job(state, seconds=90, accuracy=None):
    end = START + timedelta(seconds=seconds)
    result = {"accuracy": accuracy} if state is State.SUCCEEDED else None
    return Job("a", "evaluations", {}, {}, state, 1, START, START, end, None, result, 0, "")


def test_right_and_wrong_predictions_are_counted(metrics, registry):
    metrics.ended(job(State.SUCCEEDED, accuracy={"value": 0.75, "n": 8}))
    metrics.ended(job(State.SUCCEEDED))
    values = [registry.get_sample_value("w2s_evaluator_predictions_total", {"outcome": o}) for o in ("right", "wrong")]
    assert values == [6, 2]
    assert registry.get_sample_value("w2s_evaluator_evaluations_total", {"state": "succeeded"}) == 2


def test_an_evaluation_that_failed_takes_time_and_is_no_latest_success(metrics, registry):
    latest = "w2s_evaluator_last_evaluation_timestamp_seconds"
    metrics.ended(job(State.FAILED, seconds=40))
    assert registry.get_sample_value(latest) is None
    assert registry.get_sample_value("w2s_evaluator_evaluation_seconds_sum") == 40
    metrics.ended(job(State.SUCCEEDED))
    metrics.ended(job(State.FAILED, seconds=400))
    assert registry.get_sample_value(latest) == START.timestamp() + 90


def test_a_success_before_the_restart_is_still_the_latest(metrics, registry):
    metrics.succeeded_before(job(State.SUCCEEDED))
    assert registry.get_sample_value("w2s_evaluator_last_evaluation_timestamp_seconds") == START.timestamp() + 90
    assert registry.get_sample_value("w2s_evaluator_evaluation_seconds_count") == 0
