"""Starts the supervisor: `python -m w2s_supervisor --help`."""

from __future__ import annotations

import grpc.aio

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.models.runtime import configure_runtime
from w2s.rpc.server import new_registry, run
from w2s.rpc.settings import parse_settings
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.service import Supervisor
from w2s_supervisor.servicer import SupervisorServicer
from w2s_supervisor.settings import SupervisorSettings


class SupervisorApp:
    """Wires the supervisor into the scaffolding."""

    name = "w2s.supervisor.v1.SupervisorService"

    def __init__(self, settings: SupervisorSettings, metrics: SupervisorMetrics) -> None:
        self._database = Database(settings.database_url)
        store = ArtifactStore(settings.artifact_root, settings.cache_folder / "artifacts")
        self._supervisor = Supervisor(self._database, store, settings, metrics)

    def register(self, server: grpc.aio.Server) -> None:
        supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(SupervisorServicer(self._supervisor), server)

    async def start(self) -> None:
        await self._supervisor.start()

    async def stop(self) -> None:
        await self._supervisor.stop()
        self._database.close()


def main() -> None:
    """Serves until told to stop."""
    settings = parse_settings(SupervisorSettings, "w2s-supervisor")
    configure_runtime(settings.threads)
    registry = new_registry()
    run(SupervisorApp(settings, SupervisorMetrics(registry)), settings, registry)


if __name__ == "__main__":
    main()
