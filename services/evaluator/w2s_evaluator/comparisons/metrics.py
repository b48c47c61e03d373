"""Metrics of comparisons."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from w2s.metrics import Pgr, PgrStatus


class ComparisonMetrics:
    """Comparisons by status.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._comparisons = Counter("w2s_evaluator_comparisons", "Comparisons made", ["pgr_status"], registry=registry)
        for status in PgrStatus:
            self._comparisons.labels(status.value)

    def compared(self, pgr: Pgr) -> None:
        """Counts a comparison."""
        self._comparisons.labels(pgr.status.value).inc()
