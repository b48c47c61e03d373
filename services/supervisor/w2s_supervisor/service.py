"""What the supervisor does, without gRPC: its parts, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from w2s.artifacts import ArtifactStore
from w2s.artifacts.uris import check_key
from w2s.database import Database
from w2s.errors import FailedPrecondition, InvalidArgument, NotFound
from w2s.jobs import Job, JobManager, JobStore, State
from w2s.models.runtime import pick_device
from w2s.models.sources import ModelSources
from w2s_supervisor.backends.ensemble import EnsembleOpener
from w2s_supervisor.backends.inference import InferenceOpener
from w2s_supervisor.backends.model import ModelOpener
from w2s_supervisor.backends.openers import Openers
from w2s_supervisor.backends.protocol import Ability, Identity
from w2s_supervisor.backends.text_generation import TextGenerationOpener
from w2s_supervisor.desk import Desk, Target
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.labeling import Labeler, LabelingSpec
from w2s_supervisor.memory import free_bytes
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.pool import Hold, TeacherPool
from w2s_supervisor.replicas import Follower, ReplicaBoard
from w2s_supervisor.settings import SupervisorSettings
from w2s_supervisor.spec import TeacherSpec
from w2s_supervisor.swap import Swaps, SwapSpec
from w2s_supervisor.teachers import Teacher, TeacherRegistry
from w2s_supervisor.threads import Threads

# Names the active teacher in the Open Inference Protocol.
RESERVED_ID = "active"


class Supervisor:
    """Holds teachers, swaps the active one live, and answers questions.

    Args:
        database: Where teachers and jobs are.
        store: Where models and datasets are and labels go.
        settings: The settings.
        metrics: The metrics.
    """

    def __init__(
        self, database: Database, store: ArtifactStore, settings: SupervisorSettings, metrics: SupervisorMetrics
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._threads = Threads()
        self._device = pick_device(settings.device)
        self._memory = settings.memory_mib << 20
        self._on_ready: Callable[[bool], Awaitable[None]] | None = None
        self.registry = TeacherRegistry(database)
        self._openers = self._make_openers(settings)
        self.pool = TeacherPool(self._openers, settings.max_loaded, self._free_bytes)
        self.desk = Desk(self.registry, self.pool, metrics)
        swaps = Swaps(
            self.registry,
            self.pool,
            store,
            drain_s=settings.swap_drain_s,
            keep_previous=settings.keep_previous,
            on_active=self._activated,
        )
        board = ReplicaBoard(database)
        self.follower = Follower(
            self.registry, board, self.pool, swaps, self._forget, settings.replica, settings.follow_s
        )
        # One at a time: two swaps at once would race for the same reference.
        self.activations = JobManager(
            JobStore(database, "activations"), swaps.activate, slots=1, on_end=metrics.job_ended
        )
        self._labeler = Labeler(store, self.desk, settings.chunk_rows, settings.label_patience_s)
        self._labeling = JobStore(database, "labelingJobs")
        self.labeling = JobManager(
            self._labeling, self._labeler.label, slots=settings.label_slots, on_end=self._job_ended
        )
        self._background: set[asyncio.Task[None]] = set()

    async def start(self, on_ready: Callable[[bool], Awaitable[None]] | None = None) -> None:
        """Brings the active teacher back, then takes jobs up again.

        Args:
            on_ready: Told whether a teacher is active, whenever that changes; None for nobody.
        """
        self._on_ready = on_ready
        await self.follower.start()
        await self.activations.start()
        await self.labeling.start()

    async def stop(self) -> None:
        """Puts jobs away, frees the teachers and ends the threads."""
        await self.activations.stop()
        await self.labeling.stop()
        await self.follower.stop()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.pool.close()
        await asyncio.to_thread(self._threads.close)

    async def register(self, id_: str, spec: TeacherSpec) -> Teacher:
        """Registers a teacher.

        Raises:
            InvalidArgument: The id is malformed or taken, or the spec names what is not allowed.
            AlreadyExists: The id belongs to another teacher.
            NotFound, FailedPrecondition, DataLoss, Unavailable, DeadlineExceeded: As `Opener.identify`.
        """
        if check_key(id_, "teacher_id") == RESERVED_ID:
            raise InvalidArgument("teacher_id", f"{RESERVED_ID} names whichever teacher is active; use another")
        return await self.registry.register(id_, spec, await self._openers.identify(spec))

    async def unregister(self, id_: str) -> None:
        """Forgets a teacher; its memory is freed once no call uses it.

        Raises:
            NotFound: There is none of that id.
            FailedPrecondition: It is active, a member of an ensemble, or has a labelling job under way.
        """
        teacher = await self.registry.get(id_)
        for job in await self._labeling.unfinished():
            if job.extra["teacher"][0] == teacher.name:
                raise FailedPrecondition(f"labelingJobs/{job.id} needs {teacher.name}; cancel it or let it end")
        await self.registry.unregister(id_)
        self._forget(teacher)

    async def activate(self, request_id: str, spec: SwapSpec) -> Job:
        """Queues an activation, or a rollback where the spec names no teacher.

        Raises:
            NotFound: There is no such teacher.
            FailedPrecondition: There is no teacher to go back to.
            InvalidArgument, AlreadyExists, ResourceExhausted: As `JobManager.create`.
        """
        found = await _find(self.activations, request_id)
        if found is not None:
            return await self.activations.create(request_id, spec.model_dump(mode="json"), found.extra)
        id_ = spec.teacher or (await self.registry.desired()).previous_id
        if not id_:
            raise FailedPrecondition("no teacher was active before the present one")
        teacher = await self.registry.get(id_)
        return await self.activations.create(request_id, spec.model_dump(mode="json"), {"teacher": teacher.id})

    async def label_dataset(self, request_id: str, spec: LabelingSpec, target: Target) -> Job:
        """Queues a labelling job, pinned to the teacher that is meant now.

        Raises:
            NotFound, FailedPrecondition, InvalidArgument, DataLoss: As `Desk.teacher` and `Labeler.plan`.
            AlreadyExists, ResourceExhausted: As `JobManager.create`.
        """
        found = await _find(self.labeling, request_id)
        if found is not None:
            return await self.labeling.create(request_id, spec.model_dump(mode="json"), found.extra)
        teacher = await self.desk.teacher(target)
        if Ability.LABEL not in teacher.abilities:
            raise FailedPrecondition(f"{teacher.name} cannot label")
        pinned = await self._labeler.plan(spec, teacher)
        return await self.labeling.create(request_id, spec.model_dump(mode="json"), pinned)

    def _make_openers(self, settings: SupervisorSettings) -> Openers:
        sources = ModelSources(self._store, settings.model_roots, allow_hub=settings.allow_hub)
        endpoints = Endpoints(settings.endpoints, settings.credentials_folder)
        return Openers(
            ModelOpener(sources, self._threads, self._device, settings, self._metrics),
            TextGenerationOpener(endpoints, self._metrics.backend_error, max_waiting=settings.max_waiting),
            EnsembleOpener(self._member, self._hold),
            InferenceOpener(endpoints, self._metrics.backend_error, max_waiting=settings.max_waiting),
        )

    async def _member(self, id_: str) -> Identity:
        teacher = await self.registry.get(id_)
        if teacher.spec.ensemble:
            # It would wait for itself: ensembles load one at a time, each with its members.
            raise InvalidArgument("spec.ensemble.members", f"must be no ensembles, and {teacher.name} is one")
        return teacher.identity

    async def _hold(self, id_: str) -> Hold:
        return Hold(await self.pool.load(await self.registry.get(id_)))

    def _free_bytes(self, taken: int) -> int:
        return self._memory - taken if self._memory else free_bytes(self._device)

    async def _activated(self, teacher: Teacher | None) -> None:
        self._metrics.activated(teacher)
        if self._on_ready:
            await self._on_ready(teacher is not None)

    def _forget(self, teacher: Teacher) -> None:
        self._later(self._unload(teacher))

    async def _unload(self, teacher: Teacher) -> None:
        try:
            await self.pool.unload(teacher)
        except FailedPrecondition:
            # This replica lags behind: its follower comes back to it after the next swap.
            return
        # After its last call, which would begin the series anew; not those of a successor of its name.
        if await self.registry.find(teacher.id) is None:
            self._metrics.forget(teacher)

    def _job_ended(self, job: Job) -> None:
        self._metrics.job_ended(job)
        if job.state is State.CANCELLED:
            workspace = self._store.workspace("labels", job.id)
            self._later(asyncio.to_thread(workspace.clear))

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _find(jobs: JobManager, request_id: str) -> Job | None:
    """The job that an earlier call with that request id made; what it was pinned to still holds."""
    if not request_id:
        return None
    try:
        return await jobs.get(check_key(request_id, "request_id"))
    except NotFound:
        return None
