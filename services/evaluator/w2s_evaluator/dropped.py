"""Counts what the caps on series keep from being exported."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


def dropped_series(registry: CollectorRegistry) -> Counter:
    """The counter of what is not exported because a cap is reached, by kind: `published` or `student`."""
    counter = Counter(
        "w2s_evaluator_dropped_series", "Published names and students that a cap dropped", ["kind"], registry=registry
    )
    for kind in ("published", "student"):
        counter.labels(kind)
    return counter
