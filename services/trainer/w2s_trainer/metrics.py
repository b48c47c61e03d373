"""The trainer's own metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from w2s.jobs import Job, State

_BUCKETS = (1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


class TrainerMetrics:
    """Runs ended and how long they took.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter("w2s_trainer_runs", "Runs ended", ["state"], registry=registry)
        self._seconds = Histogram(
            "w2s_trainer_run_seconds", "Duration of succeeded runs", registry=registry, buckets=_BUCKETS
        )
        self._steps = Counter("w2s_trainer_steps", "Optimiser steps of succeeded runs", registry=registry)
        for state in State:
            if state.ended:
                self._runs.labels(state.name.lower())

    def ended(self, job: Job) -> None:
        """Counts a run that has ended."""
        self._runs.labels(job.state.name.lower()).inc()
        if job.result and job.start_time and job.end_time:
            self._seconds.observe((job.end_time - job.start_time).total_seconds())
            self._steps.inc(job.result["steps"])
