"""Runs evaluations as jobs, without gRPC."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import ANSWERS_SCHEMA, PREDICTIONS_SCHEMA
from w2s.artifacts.tables import CompletionDataset
from w2s.artifacts.uris import check_key
from w2s.database import Database
from w2s.errors import AlreadyExists, NotFound
from w2s.jobs import Job, JobManager, JobStore, Progress, Report, State
from w2s.jobs.threads import Check, run_stoppable
from w2s_evaluator import scorers
from w2s_evaluator.evaluations.admission import Admission, Pinned
from w2s_evaluator.evaluations.answers import answer_result
from w2s_evaluator.evaluations.chunks import work_off
from w2s_evaluator.evaluations.datasets import FIELD, KINDS, AnyDataset
from w2s_evaluator.evaluations.metrics import EvaluationMetrics
from w2s_evaluator.evaluations.predicting import prediction_result
from w2s_evaluator.evaluations.result import RESULT, Result
from w2s_evaluator.evaluations.room import Room
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
        spec, pinned = EvaluationSpec.model_validate(job.spec), Pinned.load(job.extra)
        assert pinned.dataset is not None
        report(Progress("load"))
        dataset = self._read(pinned.dataset)
        found = self._store.find("predictions", job.id)
        if found is None:
            found = self._make(job, spec, pinned, dataset, report, check)
        # Also what an attempt left that was killed just after it had written the predictions.
        self._store.workspace("predictions", job.id).clear()
        self._check_made(found, job, pinned)
        report(Progress("measure", len(dataset), len(dataset)))
        if isinstance(dataset, CompletionDataset):
            return answer_result(self._store, found, dataset, spec, check)
        return prediction_result(self._store, found, dataset, spec, check)

    def _make(
        self, job: Job, spec: EvaluationSpec, pinned: Pinned, dataset: AnyDataset, report: Report, check: Check
    ) -> ArtifactRef:
        work = self._sources.open(spec, pinned.source, dataset)

        told = -1

        def tick(done: int) -> None:
            nonlocal told
            check()
            if done != told:
                told = done
                report(Progress(work.stage, done, len(dataset)))

        workspace = self._store.workspace("predictions", job.id)
        table = work_off(work, len(dataset), workspace, [job.spec, job.extra], tick)
        answered = isinstance(dataset, CompletionDataset)
        with self._store.write(
            "predictions",
            job.id,
            data_schema=ANSWERS_SCHEMA if answered else PREDICTIONS_SCHEMA,
            config=job.spec,
            parents=pinned.parents,
        ) as draft:
            work.write(draft.path, table)
        assert draft.ref is not None
        return draft.ref

    def _read(self, dataset: Parent) -> AnyDataset:
        ref = ArtifactRef(uri=dataset.uri, digest=dataset.digest)
        return KINDS[self._store.manifest(ref.uri, ref.digest).data_schema].read(self._store, ref, FIELD)

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
