"""The trainer's parts, wired into the scaffolding."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.errors import W2SError
from w2s.jobs import Job, JobManager, JobStore, Progress, Report
from w2s.models.sources import ModelSources
from w2s.rpc.access import Access
from w2s.rpc.health import Health
from w2s.rpc.server import Listener
from w2s.trainer.v1 import trainer_pb2_grpc
from w2s_trainer.admission import Admission
from w2s_trainer.cleanup import Cleanup
from w2s_trainer.files import RunFiles
from w2s_trainer.launch import launcher, slot_count
from w2s_trainer.metrics import TrainerMetrics
from w2s_trainer.servicer import TrainerServicer
from w2s_trainer.settings import TrainerSettings

log = logging.getLogger(__name__)

_COUNT_S = 2.0


class TrainerApp:
    """Wires the trainer into the scaffolding."""

    names = ("w2s.trainer.v1.TrainerService",)

    def __init__(self, settings: TrainerSettings, registry: CollectorRegistry) -> None:
        store = ArtifactStore(settings.artifact_root)
        self._metrics = TrainerMetrics(registry)
        self._files = RunFiles(store)
        sources = ModelSources(store, settings.model_roots, allow_hub=settings.allow_hub)
        self._admission = Admission(sources, settings)
        self._database = Database(settings.database_url)
        self._runs = JobManager(
            JobStore(self._database, "runs"),
            self._execute,
            slots=slot_count(settings),
            max_queued=settings.max_queued,
            on_end=self._ended,
        )
        self._launcher = launcher(settings, store, self._runs.owner)
        self._cleanup = Cleanup(self._files, self._launcher)
        self._counting: asyncio.Task[None] | None = None

    def register(self, server: grpc.aio.Server) -> None:
        servicer = TrainerServicer(self._runs, self._admission, self._files, self._cleanup)
        trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, server)

    async def start(self, health: Health, access: Access) -> dict[str, Listener]:
        await self._runs.start()
        self._counting = asyncio.create_task(self._count())
        return {}

    async def stop(self) -> None:
        await self._runs.stop()
        if self._counting is not None:
            self._counting.cancel()
        await self._cleanup.close()
        self._launcher.close()
        self._database.close()

    async def _execute(self, job: Job, report: Report) -> dict[str, Any]:
        with self._metrics.executed(job.id) as export:

            def both(progress: Progress) -> None:
                export(progress)
                report(progress)

            return await self._launcher.execute(job, both)

    def _ended(self, job: Job) -> None:
        self._metrics.ended(job)
        self._cleanup.after(job)

    async def _count(self) -> None:
        while True:
            try:
                self._metrics.counted(await self._runs.counts())
            except W2SError as error:
                log.warning("runs could not be counted", extra={"reason": str(error)})
            await asyncio.sleep(_COUNT_S)
