"""The trainer's own metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from w2s.jobs import Job, Progress, State

_BUCKETS = (1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_PREFIX = "w2s_trainer"

# The metric of a run's figure, by the name that its progress has it under, and what it is.
_FIGURES = {
    "learning_rate": ("learning_rate", "Learning rate of body weights"),
    "tokens_per_second": ("tokens_per_second", "Tokens trained on a second"),
    "examples_per_second": ("examples_per_second", "Examples trained on a second"),
    "grad_norm": ("gradient_norm", "Norm of the gradients, before they are clipped"),
    "label_accuracy": ("label_accuracy", "Agreement with the labels trained on, of the last batches"),
    "truth_accuracy": ("truth_accuracy", "Agreement with the ground truth, of the last batches"),
    "gpu_memory_bytes": ("gpu_memory_bytes", "Most memory of a GPU that was in use"),
}
# What losses are made of. Others are not exported: the series of a run are as many as there are names here.
_COMPONENTS = ("bradley_terry", "conflict", "cross_entropy", "dpo", "nll", "odds_ratio", "sft", "simpo")
_TOTAL = "total"
_STEPPING = ("hop", "generative", "train")


class TrainerMetrics:
    """Runs by state, and those that are executed here as they go.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(f"{_PREFIX}_runs", "Runs ended here", ["state"], registry=registry)
        self._stored = Gauge(f"{_PREFIX}_stored_runs", "Runs in the database", ["state"], registry=registry)
        self._queue = Gauge(f"{_PREFIX}_queue_length", "Runs that wait", registry=registry)
        self._seconds = Histogram(
            f"{_PREFIX}_run_seconds", "Duration of succeeded runs", registry=registry, buckets=_BUCKETS
        )
        self._steps = Counter(f"{_PREFIX}_steps", "Optimiser steps of succeeded runs", registry=registry)
        self._restarts = Counter(f"{_PREFIX}_restarts", "Times that a run's processes began again", registry=registry)
        self._executed = _ExecutedRuns(registry)
        for state in State:
            self._stored.labels(state.name.lower())
            if state.ended:
                self._runs.labels(state.name.lower())

    def counted(self, counts: Mapping[State, int]) -> None:
        """Says how many runs there are, those of other servers that share the database included."""
        for state in State:
            self._stored.labels(state.name.lower()).set(counts.get(state, 0))
        self._queue.set(counts.get(State.QUEUED, 0))

    @contextmanager
    def executed(self, run_id: str) -> Iterator[Callable[[Progress], None]]:
        """Exports a run's progress for a block; its series, with the label `run`, end with it.

        Yields:
            Takes up what the run reports, from any one thread.
        """
        under_way = False

        def report(progress: Progress) -> None:
            nonlocal under_way
            # Each model of a run is loaded once its stage begins, and again by processes that have to go on with it.
            if progress.stage == "load":
                self._restarts.inc(under_way)
                under_way = True
            elif progress.stage in _STEPPING[:-1] and progress.step == progress.total_steps:
                under_way = False
            self._executed.report(run_id, progress)

        self._executed.begin(run_id)
        try:
            yield report
        finally:
            self._executed.end(run_id)

    def ended(self, job: Job) -> None:
        """Counts a run that has ended here."""
        self._runs.labels(job.state.name.lower()).inc()
        if job.result and job.start_time and job.end_time:
            self._seconds.observe((job.end_time - job.start_time).total_seconds())
            self._steps.inc(job.result["steps"])


class _ExecutedRuns:
    """The series of the runs that this server executes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, words: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", words, ["run"], registry=registry)

        self._step = gauge("step", "Optimiser steps of the stage that are done")
        self._total = gauge("total_steps", "Optimiser steps of the stage")
        self._age = gauge("checkpoint_age_seconds", "Time since the latest checkpoint here, or the start")
        self._figures = {name: gauge(*figure) for name, figure in _FIGURES.items()}
        self._loss = Gauge(
            f"{_PREFIX}_loss", "Loss in nats, in total and by component", ["run", "component"], registry=registry
        )

    def begin(self, run_id: str) -> None:
        self._kept(run_id)

    def report(self, run_id: str, progress: Progress) -> None:
        if progress.stage == "checkpoint":
            self._kept(run_id)
            return
        if progress.stage in _STEPPING:
            self._step.labels(run_id).set(progress.step)
            self._total.labels(run_id).set(progress.total_steps)
        for name, gauge in self._figures.items():
            if name in progress.metrics:
                gauge.labels(run_id).set(progress.metrics[name])
        for component, name in ((_TOTAL, "loss"), *((part, f"loss_{part}") for part in _COMPONENTS)):
            if name in progress.metrics:
                self._loss.labels(run_id, component).set(progress.metrics[name])

    def end(self, run_id: str) -> None:
        for gauge in (self._step, self._total, self._age, self._loss, *self._figures.values()):
            gauge.remove_by_labels({"run": run_id})

    def _kept(self, run_id: str) -> None:
        since = time.monotonic()
        self._age.labels(run_id).set_function(lambda: time.monotonic() - since)
