"""Metrics of evaluations."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from w2s.jobs import Job, State


class EvaluationMetrics:
    """Evaluations, and the predictions they made.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evaluations = Counter("w2s_evaluator_evaluations", "Evaluations ended", ["state"], registry=registry)
        self._predictions = Counter(
            "w2s_evaluator_predictions", "Predictions of succeeded evaluations", ["outcome"], registry=registry
        )
        for state in State:
            if state.ended:
                self._evaluations.labels(state.name.lower())

    def ended(self, job: Job) -> None:
        """Counts an evaluation that has ended."""
        self._evaluations.labels(job.state.name.lower()).inc()
        if job.result:
            n = job.result["accuracy"]["n"]
            right = round(job.result["accuracy"]["value"] * n)
            self._predictions.labels("right").inc(right)
            self._predictions.labels("wrong").inc(n - right)
