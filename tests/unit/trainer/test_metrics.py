from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from w2s.jobs import Job, Progress, State
from w2s_trainer.metrics import TrainerMetrics

START = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return TrainerMetrics(registry)


@pytest.fixture
def series(registry):
    """What there is of a run: `series("a")`, by name and component."""

    def find(run):
        samples = [sample for family in registry.collect() for sample in family.samples]
        mine = [sample for sample in samples if sample.labels.get("run") == run]
        return {(s.name.removeprefix("w2s_trainer_"), s.labels.get("component", "")): s.value for s in mine}

    return find


def job(state, **changes):
    fields = dict.fromkeys(Job.__dataclass_fields__)
    times = {"create_time": START, "start_time": START, "end_time": START + timedelta(seconds=70)}
    return Job(**{**fields, "id": "a", "kind": "runs", "state": state, **times, **changes})


def test_a_run_is_exported_while_it_is_executed(metrics, series):
    with metrics.executed("a") as report:
        figures = {"loss": 0.7, "loss_dpo": 0.5, "loss_sft": 0.2, "learning_rate": 1e-3, "grad_norm": 2.0}
        report(Progress("train", 3, 12, {**figures, "tokens_per_second": 9.0, "gpu_memory_bytes": 5.0}))
        report(Progress("train", 4, 12, {"label_accuracy": 0.8, "truth_accuracy": 0.6, "examples_per_second": 2.0}))
        found = series("a")
        assert found.pop(("checkpoint_age_seconds", "")) >= 0
        assert found == {
            ("step", ""): 4,
            ("total_steps", ""): 12,
            ("loss", "total"): 0.7,
            ("loss", "dpo"): 0.5,
            ("loss", "sft"): 0.2,
            ("learning_rate", ""): 1e-3,
            ("gradient_norm", ""): 2,
            ("tokens_per_second", ""): 9,
            ("examples_per_second", ""): 2,
            ("label_accuracy", ""): 0.8,
            ("truth_accuracy", ""): 0.6,
            ("gpu_memory_bytes", ""): 5,
        }
    assert series("a") == {}


def test_series_end_with_a_run_that_is_stopped_and_others_stay(metrics, series):
    with metrics.executed("b") as report:
        report(Progress("train", 1, 2, {"loss": 1.0}))
        with suppress(ValueError), metrics.executed("a") as other:
            other(Progress("train", 1, 2, {"loss": 1.0, "loss_sft": 1.0}))
            raise ValueError("stopped")
        assert series("a") == {}
        assert series("b")[("loss", "total")] == 1


def test_unknown_names_make_no_series(metrics, series):
    with metrics.executed("a") as report:
        before = series("a").keys()
        report(Progress("train", 1, 2, {f"loss_{n}": 1.0 for n in range(100)} | {"eval_accuracy": 0.5, "x": 1.0}))
        assert series("a").keys() - before == {("step", ""), ("total_steps", "")}


def test_steps_of_other_stages_are_no_optimiser_steps(metrics, series):
    with metrics.executed("a") as report:
        report(Progress("train", 5, 8))
        report(Progress("encode", 300, 400))
        report(Progress("checkpoint", 7, 8))
        assert (series("a")[("step", "")], series("a")[("total_steps", "")]) == (5, 8)


def test_the_age_of_a_checkpoint_runs_on_between_checkpoints(metrics, series):
    age = ("checkpoint_age_seconds", "")
    with metrics.executed("a") as report:
        time.sleep(0.05)
        assert series("a")[age] >= 0.05
        report(Progress("train", 1, 2))
        old = series("a")[age]
        report(Progress("checkpoint", 1, 2))
        assert series("a")[age] < old
        time.sleep(0.05)
        assert series("a")[age] >= 0.05


@pytest.mark.parametrize(
    ("stages", "restarts"),
    [
        ("load encode train/1 checkpoint/1 train/2 save", 0),
        ("load encode train/1 load encode train/1 train/2 load save", 2),
        ("load load train/2", 1),
        ("load hop/1 hop/2 save load hop/2 checkpoint/2 load generative/2 load train/1", 0),
        ("load hop/1 load hop/2 load generative/1 checkpoint/1 load generative/2 load train/1", 2),
    ],
)
def test_restarts_are_counted(metrics, registry, stages, restarts):
    with metrics.executed("a") as report:
        for stage in stages.split():
            name, _, step = stage.partition("/")
            report(Progress(name, int(step or 0), 2 if step else 0))
    assert registry.get_sample_value("w2s_trainer_restarts_total") == restarts


def test_ended_runs_are_counted_by_state(metrics, registry):
    metrics.ended(job(State.SUCCEEDED, result={"steps": 12}))
    metrics.ended(job(State.CANCELLED, start_time=None))
    counts = {s: registry.get_sample_value("w2s_trainer_runs_total", {"state": s}) for s in ("succeeded", "failed")}
    assert counts == {"succeeded": 1, "failed": 0}
    assert registry.get_sample_value("w2s_trainer_steps_total") == 12
    assert registry.get_sample_value("w2s_trainer_run_seconds_sum") == 70
    assert registry.get_sample_value("w2s_trainer_run_seconds_count") == 1


def test_stored_runs_are_those_counted_last(metrics, registry):
    def stored(state):
        return registry.get_sample_value("w2s_trainer_stored_runs", {"state": state})

    assert stored("queued") == 0
    metrics.counted({State.QUEUED: 3, State.SUCCEEDED: 2})
    assert (stored("queued"), stored("succeeded"), stored("running")) == (3, 2, 0)
    assert registry.get_sample_value("w2s_trainer_queue_length") == 3
    metrics.counted({State.RUNNING: 1})
    assert (stored("queued"), stored("running")) == (0, 1)
    assert registry.get_sample_value("w2s_trainer_queue_length") == 0
