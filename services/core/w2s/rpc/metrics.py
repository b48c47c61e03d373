"""Counts of calls and their durations, under the names that stock gRPC dashboards know."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from w2s.rpc.calls import Call

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class CallMetrics:
    """Counts calls and times them.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "Calls begun", names, registry=registry)
        self._handled = Counter("grpc_server_handled", "Calls ended", (*names, "grpc_code"), registry=registry)
        self._seconds = Histogram(
            "grpc_server_handling_seconds", "Call durations", names, registry=registry, buckets=_LATENCY_BUCKETS
        )
        self._in_flight = Gauge("grpc_server_in_flight", "Calls in flight", names, registry=registry)

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Counts and times the call."""
        self._started.labels(*call.names).inc()
        start = time.perf_counter()
        with self._in_flight.labels(*call.names).track_inprogress():
            try:
                yield
            finally:
                self._seconds.labels(*call.names).observe(time.perf_counter() - start)
                self._handled.labels(*call.names, call.code().name).inc()
