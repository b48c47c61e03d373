"""Starts the supervisor: `python -m w2s_supervisor --help`."""

from __future__ import annotations

import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.models.runtime import configure_runtime
from w2s.rpc.health import Health
from w2s.rpc.server import serve
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.service import Supervisor
from w2s_supervisor.servicer import SupervisorServicer
from w2s_supervisor.settings import SupervisorSettings


class SupervisorApp:
    """Wires the supervisor into the scaffolding."""

    names = ("w2s.supervisor.v1.SupervisorService",)

    def __init__(self, settings: SupervisorSettings, registry: CollectorRegistry) -> None:
        configure_runtime(settings.threads)
        self._database = Database(settings.database_url)
        store = ArtifactStore(settings.artifact_root, settings.cache_folder / "artifacts")
        self._supervisor = Supervisor(self._database, store, settings, SupervisorMetrics(registry))

    def register(self, server: grpc.aio.Server) -> None:
        supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(SupervisorServicer(self._supervisor), server)

    async def start(self, health: Health) -> None:
        await self._supervisor.start()

    async def stop(self) -> None:
        await self._supervisor.stop()
        self._database.close()


def main() -> None:
    """Serves until told to stop."""
    serve(SupervisorSettings, "w2s-supervisor", SupervisorApp)


if __name__ == "__main__":
    main()
