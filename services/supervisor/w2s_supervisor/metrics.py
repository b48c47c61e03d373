"""The supervisor's own metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from w2s.jobs import Job, State
from w2s_supervisor.teachers import Teacher

_CONFIDENCE = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)


class SupervisorMetrics:
    """Labels, swaps and jobs.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "w2s_supervisor"
        self._labels = Counter(f"{prefix}_labels", "Examples labelled", ["teacher"], registry=registry)
        self._confidence = Histogram(
            f"{prefix}_label_confidence_ratio",
            "Probability of the most probable class",
            ["teacher"],
            registry=registry,
            buckets=_CONFIDENCE,
        )
        self._active = Gauge(
            f"{prefix}_teacher_info", "The active teacher", ["teacher", "revision", "digest"], registry=registry
        )
        self._swaps = Counter(f"{prefix}_teacher_swaps", "Activations ended", ["outcome"], registry=registry)
        self._jobs = Counter(f"{prefix}_jobs", "Jobs ended", ["kind", "state"], registry=registry)
        self.waiting = Gauge(f"{prefix}_waiting_calls", "Label calls that wait for the model", registry=registry)
        for state in State:
            if state.ended:
                self._swaps.labels(state.name.lower())

    def labelled(self, teacher: Teacher, probabilities: NDArray[np.float32]) -> None:
        """Counts labels, shape [N, C]."""
        self._labels.labels(teacher.name).inc(len(probabilities))
        confidence = self._confidence.labels(teacher.name)
        for value in probabilities.max(axis=1):
            confidence.observe(float(value))

    def activated(self, teacher: Teacher) -> None:
        """Says which teacher is active; only one sample is exported."""
        self._active.clear()
        self._active.labels(teacher.name, teacher.revision, teacher.digest).set(1)

    def job_ended(self, job: Job) -> None:
        """Counts a job that has ended."""
        self._jobs.labels(job.kind, job.state.name.lower()).inc()
        if job.kind == "activations":
            self._swaps.labels(job.state.name.lower()).inc()
