"""Runs evaluations as jobs, without gRPC."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.uris import check_key
from w2s.database import Database
from w2s.errors import AlreadyExists, NotFound
from w2s.jobs import Job, JobManager, JobStore, Progress, Report, State
from w2s.jobs.threads import Check, run_stoppable
from w2s_evaluator import scorers
from w2s_evaluator.evaluations.admission import Admission, Pinned
from w2s_evaluator.evaluations.metrics import EvaluationMetrics
from w2s_evaluator.evaluations.result import RESULT, Result
from w2s_evaluator.evaluations.room import Room
from w2s_evaluator.evaluations.runs import OnBenchmarks, OnDataset, Run
from w2s_evaluator.evaluations.sources import Sources
from w2s_evaluator.evaluations.spec import EvaluationSpec
from w2s_evaluator.evaluations.teachers import Teachers
from w2s_evaluator.settings import EvaluatorSettings


class Evaluations:
    """Runs evaluations, one at a time."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        settings: EvaluatorSettings,
        metrics: EvaluationMetrics,
    ) -> None:
        self._store = store
        self._settings = settings
        teachers = Teachers(settings.supervisor_address)
        self._admission = Admission(store, teachers)
        self._sources = Sources(store, teachers, Room.of(settings), lambda kind: scorers.make(kind, settings, store))
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._metrics = metrics
        self._background: set[asyncio.Future[None]] = set()
        self.jobs = JobManager(
            JobStore(database, "evaluations"),
            self._evaluate,
            slots=1,
            max_queued=settings.max_queued,
            on_end=self._ended,
        )

    async def start(self) -> None:
        """Takes evaluations up again."""
        for job in (await self.jobs.page(1, "", (State.SUCCEEDED,)))[0]:
            self._metrics.succeeded_before(job)
        await self.jobs.start()

    async def stop(self) -> None:
        """Puts evaluations away and ends their thread."""
        await self.jobs.stop()
        await asyncio.gather(*self._background)
        self._model.shutdown()

    async def create(self, request_id: str, spec: EvaluationSpec) -> Job:
        """Adds an evaluation, or finds the one that the request made before.

        Raises:
            InvalidArgument, NotFound, FailedPrecondition, DataLoss, Unavailable: As `Admission.admit`.
            AlreadyExists, ResourceExhausted: As `JobManager.create`.
        """
        found = await self._find(request_id)
        # What an evaluation was pinned to still holds.
        pinned = found.extra if found else (await asyncio.to_thread(self._admission.admit, spec)).dump()
        return await self.jobs.create(request_id, spec.model_dump(mode="json"), pinned)

    async def _find(self, request_id: str) -> Job | None:
        if not request_id:
            return None
        try:
            return await self.jobs.get(check_key(request_id, "request_id"))
        except NotFound:
            return None

    async def _evaluate(self, job: Job, report: Report) -> dict[str, Any]:
        result = await run_stoppable(self._model, lambda check: self._run(job, report, check))
        return dict(RESULT.dump_python(result, mode="json"))

    def _run(self, job: Job, report: Report, check: Check) -> Result:
        report(Progress("load"))
        pinned, workspace = Pinned.load(job.extra), self._store.workspace("predictions", job.id)
        run = self._open(job)
        found = self._store.find("predictions", job.id)
        if found is None:
            made = run.make(report, check)
            with self._store.write(
                "predictions", job.id, data_schema=run.schema, config=job.spec, parents=pinned.parents
            ) as draft:
                run.write(draft.path, made)
            found = draft.ref
            assert found is not None
        # Also what an attempt left that was killed just after it had written the predictions.
        workspace.clear()
        self._check_made(found, job, pinned)
        report(Progress("measure"))
        return run.result(found, check)

    def _open(self, job: Job) -> Run:
        if job.spec["benchmarks"] is not None:
            return OnBenchmarks(job, self._store, self._settings)
        return OnDataset(job, self._store, self._sources)

    def _check_made(self, found: ArtifactRef, job: Job, pinned: Pinned) -> None:
        """Refuses predictions of that name from a database that is gone, made from something else."""
        manifest = self._store.manifest(found.uri)
        if (manifest.config, manifest.parents) != (job.spec, pinned.parents):
            raise AlreadyExists(f"{found.uri} holds predictions of another evaluation; use another request_id")

    def _ended(self, job: Job) -> None:
        self._metrics.ended(job)
        if job.state is State.CANCELLED:
            clearing = asyncio.ensure_future(asyncio.to_thread(self._store.workspace("predictions", job.id).clear))
            self._background.add(clearing)
            clearing.add_done_callback(self._background.discard)
