"""The evaluator's parts, wired into the scaffolding."""

from __future__ import annotations

import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.evaluator.v1 import evaluator_pb2_grpc, monitor_pb2_grpc
from w2s.models.runtime import configure_runtime
from w2s.rpc.access import Access
from w2s.rpc.health import Health
from w2s.rpc.server import Listener
from w2s.rpc.tls import http_context
from w2s_evaluator.comparisons.metrics import ComparisonMetrics
from w2s_evaluator.comparisons.published import Published
from w2s_evaluator.comparisons.service import Comparisons
from w2s_evaluator.dropped import dropped_series
from w2s_evaluator.evaluations.metrics import EvaluationMetrics
from w2s_evaluator.evaluations.service import Evaluations
from w2s_evaluator.events.http import EventsHttp
from w2s_evaluator.events.join import Joiner
from w2s_evaluator.events.metrics import EventMetrics
from w2s_evaluator.migrations import EVALUATOR
from w2s_evaluator.monitor.metrics import MonitorMetrics
from w2s_evaluator.monitor.service import Monitor
from w2s_evaluator.monitor.servicer import MonitorServicer
from w2s_evaluator.servicer import EvaluatorServicer
from w2s_evaluator.settings import EvaluatorSettings

_MONITOR = "w2s.evaluator.v1.MonitorService"


class EvaluatorApp:
    """Wires the evaluator into the scaffolding."""

    names = ("w2s.evaluator.v1.EvaluatorService", _MONITOR)

    def __init__(self, settings: EvaluatorSettings, registry: CollectorRegistry) -> None:
        configure_runtime(settings.threads)
        self._database = Database(settings.database_url, EVALUATOR)
        store = ArtifactStore(settings.artifact_root, settings.cache_folder / "artifacts")
        self._evaluations = Evaluations(self._database, store, settings, EvaluationMetrics(registry))
        dropped = dropped_series(registry)
        published = Published(self._database, settings.max_published, dropped, registry)
        self._comparisons = Comparisons(store, published, ComparisonMetrics(registry))
        self._monitor = Monitor(self._database, store, settings, MonitorMetrics(registry, dropped))
        self._settings, self._counts = settings, EventMetrics(registry)
        self._joiner = Joiner(self._database, self._monitor.students, self._monitor.intake, self._counts)

    def register(self, server: grpc.aio.Server) -> None:
        servicer = EvaluatorServicer(self._evaluations, self._comparisons)
        evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server(servicer, server)
        monitor_pb2_grpc.add_MonitorServiceServicer_to_server(MonitorServicer(self._monitor), server)

    async def start(self, health: Health, access: Access) -> dict[str, Listener]:
        await self._comparisons.start()
        await self._evaluations.start()
        await self._monitor.start()
        await health.set(_MONITOR, True)
        await self._joiner.start()
        return {"events": await self._start_events(access)}

    async def stop(self) -> None:
        await self._evaluations.stop()
        await self._comparisons.stop()
        await self._joiner.stop()
        await self._monitor.stop()
        self._database.close()

    async def _start_events(self, access: Access) -> Listener:
        settings = self._settings
        max_bytes = settings.max_message_mib << 20
        guard = Access() if settings.events_open else access
        tls = http_context(settings, "events_tls") if settings.events_tls else None
        events = EventsHttp(self._joiner, self._counts, settings.host, settings.events_port, max_bytes, guard, tls)
        await events.start()
        return events
