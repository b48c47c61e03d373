"""The supervisor's parts, wired into the scaffolding."""

from __future__ import annotations

from functools import partial

import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.models.runtime import configure_runtime
from w2s.rpc.access import Access
from w2s.rpc.health import Health
from w2s.rpc.server import Listener
from w2s.rpc.tls import http_context
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_supervisor.limits import Limits
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.migrations import TEACHERS
from w2s_supervisor.queries import Queries
from w2s_supervisor.service import Supervisor
from w2s_supervisor.servicer import SupervisorServicer
from w2s_supervisor.settings import SupervisorSettings

_OIP = "inference.GRPCInferenceService"


class SupervisorApp:
    """Wires the supervisor into the scaffolding."""

    def __init__(self, settings: SupervisorSettings, registry: CollectorRegistry) -> None:
        configure_runtime(settings.threads)
        self._settings = settings
        self._database = Database(settings.database_url, TEACHERS)
        store = ArtifactStore(settings.artifact_root, settings.cache_folder / "artifacts")
        self._supervisor = Supervisor(self._database, store, settings, SupervisorMetrics(registry))
        self._limits = Limits(settings.max_examples, settings.max_characters)

    @property
    def names(self) -> tuple[str, ...]:
        own = "w2s.supervisor.v1.SupervisorService"
        return (own, _OIP) if self._settings.oip else (own,)

    def register(self, server: grpc.aio.Server) -> None:
        queries = Queries(self._supervisor.desk, self._limits, self._settings.max_generations)
        servicer = SupervisorServicer(self._supervisor, queries)
        supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
        if self._settings.oip:
            # The SDK costs a second and 150 MB: only those who serve it pay.
            from w2s_supervisor.oip.servicer import add_oip  # noqa: PLC0415

            add_oip(server, self._supervisor.desk, self._limits)

    async def start(self, health: Health, access: Access) -> dict[str, Listener]:
        if not self._settings.oip:
            await self._supervisor.start()
            return {}
        await health.set(_OIP, False)
        await self._supervisor.start(partial(health.set, _OIP))
        return {"http": await self._start_http(access)}

    async def stop(self) -> None:
        await self._supervisor.stop()
        self._database.close()

    async def _start_http(self, access: Access) -> Listener:
        from w2s_supervisor.oip.http import OipHttp  # noqa: PLC0415

        settings = self._settings
        max_bytes = settings.max_message_mib << 20
        tls = http_context(settings, "http_tls") if settings.http_tls else None
        http = OipHttp(self._supervisor.desk, self._limits, settings.host, settings.http_port, max_bytes, access, tls)
        await http.start()
        return http
