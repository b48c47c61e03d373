"""Starts the trainer: `python -m w2s_trainer --help`."""

from __future__ import annotations

import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.jobs import JobManager, JobStore
from w2s.rpc.health import Health
from w2s.rpc.server import Listener, serve
from w2s.trainer.v1 import trainer_pb2_grpc
from w2s_trainer.inputs import sources
from w2s_trainer.metrics import TrainerMetrics
from w2s_trainer.process import Launcher
from w2s_trainer.servicer import TrainerServicer
from w2s_trainer.settings import TrainerSettings


class TrainerApp:
    """Wires the trainer into the scaffolding."""

    names = ("w2s.trainer.v1.TrainerService",)

    def __init__(self, settings: TrainerSettings, registry: CollectorRegistry) -> None:
        self._database = Database(settings.database_url)
        self._launcher = Launcher(settings)
        self._sources = sources(settings, ArtifactStore(settings.artifact_root))
        self._runs = JobManager(
            JobStore(self._database, "runs"),
            self._launcher.execute,
            slots=settings.slots,
            max_queued=settings.max_queued,
            on_end=TrainerMetrics(registry).ended,
        )

    def register(self, server: grpc.aio.Server) -> None:
        trainer_pb2_grpc.add_TrainerServiceServicer_to_server(TrainerServicer(self._runs, self._sources), server)

    async def start(self, health: Health) -> dict[str, Listener]:
        await self._runs.start()
        return {}

    async def stop(self) -> None:
        await self._runs.stop()
        self._launcher.close()
        self._database.close()


def main() -> None:
    """Serves until told to stop."""
    serve(TrainerSettings, "w2s-trainer", TrainerApp)


if __name__ == "__main__":
    main()
