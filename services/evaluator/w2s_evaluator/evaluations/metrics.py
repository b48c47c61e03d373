"""Metrics of evaluations."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from w2s.jobs import Job, State

_SECONDS = (1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000)


class EvaluationMetrics:
    """Evaluations, how long they took, and the predictions they made.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._evaluations = Counter("w2s_evaluator_evaluations", "Evaluations ended", ["state"], registry=registry)
        self._predictions = Counter(
            "w2s_evaluator_predictions", "Predictions of succeeded evaluations", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "w2s_evaluator_evaluation_seconds",
            "Seconds from an evaluation's latest start to its end",
            buckets=_SECONDS,
            registry=registry,
        )
        self._latest: Gauge | None = None
        for state in State:
            if state.ended:
                self._evaluations.labels(state.name.lower())

    def ended(self, job: Job) -> None:
        """Counts an evaluation that has ended."""
        self._evaluations.labels(job.state.name.lower()).inc()
        if job.start_time and job.end_time:
            self._seconds.observe((job.end_time - job.start_time).total_seconds())
        if job.state is State.SUCCEEDED:
            self.succeeded_before(job)
        if job.result and job.result["accuracy"]:
            n = job.result["accuracy"]["n"]
            right = round(job.result["accuracy"]["value"] * n)
            self._predictions.labels("right").inc(right)
            self._predictions.labels("wrong").inc(n - right)

    def succeeded_before(self, job: Job) -> None:
        """Tells when the latest evaluation that succeeded ended; nothing is told before there is one."""
        if job.end_time is None:
            return
        if self._latest is None:
            self._latest = Gauge(
                "w2s_evaluator_last_evaluation_timestamp_seconds",
                "When the latest evaluation that succeeded ended",
                registry=self._registry,
            )
        self._latest.set(job.end_time.timestamp())
