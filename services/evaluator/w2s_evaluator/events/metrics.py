"""What became of the events that came over HTTP."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_OUTCOMES = ("joined", "waiting", "duplicate", "refused", "malformed", "unknown_student", "shed", "failed", "expired")


class EventMetrics:
    """Events by what became of them, and how many wait for their other half.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "w2s_evaluator_cloudevents", "CloudEvents by what became of them", ["outcome"], registry=registry
        )
        self._unjoined = Gauge(
            "w2s_evaluator_cloudevents_unjoined", "Events that wait for the other of their inference", registry=registry
        )
        for outcome in _OUTCOMES:
            self._events.labels(outcome)

    def handled(self, outcome: str) -> None:
        """Counts an event."""
        self._events.labels(outcome).inc()

    def expired(self, events: int) -> None:
        """Counts events whose other half never came."""
        self._events.labels("expired").inc(events)

    def unjoined(self, events: int) -> None:
        """Says how many wait."""
        self._unjoined.set(events)
