"""Runs jobs in a bounded number of slots and tells watchers what happens."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from w2s.artifacts.uris import check_key
from w2s.errors import Cancelled, Internal, W2SError
from w2s.jobs.attempt import Attempt, Stop
from w2s.jobs.job import Event, Job, Progress, State
from w2s.jobs.owner import new_owner
from w2s.jobs.store import JobStore
from w2s.outages import disk_outage

log = logging.getLogger(__name__)

# Tells how far a job has come; may be called from any thread.
Report = Callable[[Progress], None]
# Removes what a job that has ended has left.
Clear = Callable[[Job], Awaitable[None]]
# Does a job's work and returns its result as JSON. Cancelled by asyncio, with a value of `Stop` for the reason.
Execute = Callable[[Job, Report], Awaitable[dict[str, Any]]]


class JobManager:
    """Jobs of one kind: a queue, slots that work it off, and watchers.

    Servers that share the database share the jobs: any may create, watch or cancel one, and
    one at a time executes it, under a lease that it renews. A server that stops puts its
    running jobs back into the queue. The jobs of one that was killed are taken over: at once
    on the same host, elsewhere when their leases end. Either way a new attempt begins.

    Jobs begin by priority, then by age. The sizes of those that run here never exceed the slots.
    A job that is larger than all slots is left to other servers; one that only has to wait for
    slots holds back all that come after it, so that a big job is not starved by small ones.

    Args:
        store: Where the jobs are.
        execute: Does a job's work.
        slots: What the sizes of the jobs that run at once in this process add up to at most, >= 1.
        max_queued: Jobs that may wait.
        on_end: Called once with each job that this process has ended: it executed it, or cancelled
            it while nobody did.
        lease_s: Seconds, > 0, for which a job stays with a server that is not heard of.
        poll_s: Seconds, > 0, after which what other servers did is seen.

    Attributes:
        owner: This process, as `w2s.jobs.owner` knows it.
    """

    def __init__(
        self,
        store: JobStore,
        execute: Execute,
        *,
        slots: int = 1,
        max_queued: int = 1000,
        on_end: Callable[[Job], None] = lambda job: None,
        lease_s: float = 15.0,
        poll_s: float = 0.5,
    ) -> None:
        self._store = store
        self._execute = execute
        self._slots = slots
        self._max_queued = max_queued
        self._on_end = on_end
        self._lease_s = lease_s
        self._poll_s = poll_s
        self.owner = new_owner()
        self._running: dict[str, _Execution] = {}
        self._dispatcher: asyncio.Task[None] | None = None
        self._stopping = False
        self._cancelled: set[str] = set()
        self._queued = _Bell()
        self._changed = _Bell()

    async def start(self) -> None:
        """Starts to work off the queue, and what an earlier server left, too."""
        self._dispatcher = asyncio.create_task(self._dispatch())

    async def stop(self) -> None:
        """Stops the running jobs and puts them back into the queue for the next server."""
        self._stopping = True
        # Nothing here is cancelled but the work: what is under way in the database is heard of.
        self._queued.ring()
        for execution in self._running.values():
            execution.attempt.stop(Stop.STOPPING)
        waited = [execution.task for execution in self._running.values()]
        if self._dispatcher is not None:
            waited.append(self._dispatcher)
        await asyncio.gather(*waited, return_exceptions=True)
        # Also what was claimed at this very moment, and has not begun.
        for job in await self._store.release(self.owner):
            self._over(job)
        self._changed.ring()

    async def create(
        self,
        request_id: str,
        spec: dict[str, Any],
        extra: dict[str, Any] | None = None,
        *,
        priority: int = 0,
        size: int = 1,
    ) -> Job:
        """Adds a job, or finds the one that the request made before.

        Args:
            request_id: The job's id; empty for a new one.
            spec: What decides its result; JSON.
            extra: What does not; JSON.
            priority: Those of a higher one begin first.
            size: The slots that it takes, >= 1.

        Raises:
            InvalidArgument: The id is malformed.
            AlreadyExists, FailedPrecondition, ResourceExhausted: As `JobStore.create`.
        """
        id_ = check_key(request_id, "request_id") if request_id else uuid.uuid4().hex
        job, queued = await self._store.create(id_, spec, extra or {}, self._max_queued, priority, size, self._slots)
        if queued:
            self._queued.ring()
            self._changed.ring()
        return job

    async def get(self, id_: str) -> Job:
        """The job of that id; NotFound when there is none."""
        return await self._store.get(id_)

    async def page(self, size: int, token: str, states: Collection[State] = ()) -> tuple[list[Job], str]:
        """A page of jobs, newest first, and the token of the next page; as `JobStore.page`."""
        return await self._store.page(size, token, states)

    async def counts(self) -> dict[State, int]:
        """How many jobs are in each state, those of other servers included."""
        return await self._store.counts()

    async def delete(self, id_: str, clear: Clear) -> None:
        """Forgets a job that has ended, and its events; who still watches it finds it gone.

        Args:
            id_: The job.
            clear: Removes what it has left, while no server begins it again. When it fails, the job
                stays as it was.

        Raises:
            NotFound, FailedPrecondition, Unavailable: As `JobStore.condemn`.
        """
        # Whoever asks may be gone before it is done.
        await asyncio.shield(self._delete(id_, clear))
        self._changed.ring()

    async def cancel(self, id_: str) -> Job:
        """Cancels a job that has not ended, and returns it once it has."""
        # Said before anything is awaited: a slot that is just taking the job up sees it.
        self._cancelled.add(id_)
        try:
            if id_ in self._running:
                self._running[id_].attempt.stop(Stop.CANCELLED)
            while True:
                changed = self._changed.next
                # Asked again and again: its owner may die before it has heard of it. Whoever asks may
                # be gone before it has ended, and it is told of all the same.
                job = await asyncio.shield(self._cancel(id_))
                if job.state.ended:
                    return job
                await _heard(changed, self._poll_s)
        finally:
            self._cancelled.discard(id_)

    async def watch(self, id_: str, after: int) -> AsyncIterator[Event]:
        """Yields a job's events, past and coming, until it has ended.

        Args:
            id_: The job.
            after: Yields only events with a greater sequence.

        Raises:
            NotFound: There is no such job, or not any more.
        """
        while True:
            # Taken before the read: what happens after it sets this very event.
            changed = self._changed.next
            job, events = await self._store.events(id_, after)
            for event in events:
                after = event.sequence
                yield event
            if job.state.ended:
                return
            await _heard(changed, self._poll_s)

    async def _dispatch(self) -> None:
        """Begins jobs while there are slots for them; a job that ends frees its own."""
        while not self._stopping:
            queued, asked = self._queued.next, asyncio.get_running_loop().time()
            try:
                job = await self._claim()
                if job is None:
                    await _heard(queued, self._poll_s)
                elif job.state.ended:
                    self._over(job)
                elif not self._stopping:
                    self._begin(job, asked)
            except (SQLAlchemyError, W2SError) as error:
                # The queue outlives a database that is away.
                self._database_failed(error)
                await _heard(queued, self._poll_s)

    async def _claim(self) -> Job | None:
        free = self._slots - sum(execution.size for execution in self._running.values())
        if free < 1:
            return None
        return await self._store.claim(self.owner, self._lease_s, tuple(self._running), self._slots, free)

    def _begin(self, job: Job, claimed: float) -> None:
        renew = partial(self._store.renew, job.id, self.owner, self._lease_s)
        attempt = Attempt(asyncio.create_task(self._run(job)), renew, self._lease_s, claimed)
        if job.id in self._cancelled:
            attempt.stop(Stop.CANCELLED)
        self._running[job.id] = _Execution(job.size, attempt, asyncio.create_task(self._attempt(job, attempt)))
        self._changed.ring()

    async def _attempt(self, job: Job, attempt: Attempt) -> None:
        keeping = asyncio.create_task(attempt.keep())
        try:
            ended = await self._outcome(job, attempt)
        except (SQLAlchemyError, W2SError) as error:
            # The lease of a job that could not be ended runs out.
            self._database_failed(error)
            return
        finally:
            keeping.cancel()
            del self._running[job.id]
            self._queued.ring()
        if ended is not None:
            self._over(ended)
        elif attempt.stopped is not Stop.STOPPING:
            log.warning("the lease of a job was lost", extra={"kind": job.kind, "job": job.id, "attempt": job.attempt})

    async def _outcome(self, job: Job, attempt: Attempt) -> Job | None:
        """Waits for the work and returns the job as it has ended, or None when it has not ended here."""
        try:
            result = await attempt.task
        except (asyncio.CancelledError, Cancelled):
            if attempt.stopped is Stop.STOPPING:
                return None
            if attempt.stopped:
                return await self._end(job, attempt, State.CANCELLED)
            message = "the work was cancelled, and nobody asked for it"
            return await self._end(job, attempt, State.FAILED, code=Cancelled.code, message=message)
        except W2SError as error:
            return await self._end(job, attempt, State.FAILED, code=error.code, message=error.message)
        except Exception as error:
            log.exception("job failed", extra={"kind": job.kind, "job": job.id})
            failure = disk_outage(error) or Internal(f"{type(error).__name__}: {error}")
            return await self._end(job, attempt, State.FAILED, code=failure.code, message=failure.message)
        return await self._end(job, attempt, State.SUCCEEDED, result=result)

    async def _end(self, job: Job, attempt: Attempt, state: State, **outcome: Any) -> Job | None:
        if attempt.stopped is Stop.LOST:
            return None
        return await self._store.end(job.id, self.owner, state, **outcome)

    async def _delete(self, id_: str, clear: Clear) -> None:
        deleter = new_owner()
        job = await self._store.condemn(id_, deleter)
        try:
            await clear(job)
        except BaseException:
            await self._store.spare(id_, deleter)
            raise
        await self._store.delete(id_, deleter)

    async def _cancel(self, id_: str) -> Job:
        job, ended = await self._store.cancel(id_)
        if ended:
            # It may have been the one that all others waited behind.
            self._queued.ring()
            self._over(job)
        return job

    def _over(self, job: Job) -> None:
        self._changed.ring()
        log.info("job ended", extra={"kind": job.kind, "job": job.id, "state": job.state.value})
        try:
            self._on_end(job)
        except Exception:
            # A listener's fault is no job's, and the queue goes on.
            log.exception("a listener failed", extra={"kind": self._store.kind})

    def _database_failed(self, error: Exception) -> None:
        log.error("the database failed the jobs", extra={"kind": self._store.kind, "reason": str(error)})

    async def _run(self, job: Job) -> dict[str, Any]:
        """Does the job's work; all that it reported is in the log when this returns."""
        loop = asyncio.get_running_loop()
        latest: Future[None] | None = None

        def report(progress: Progress) -> None:
            nonlocal latest
            finite = {name: value for name, value in progress.metrics.items() if math.isfinite(value)}
            clean = Progress(progress.stage, progress.step, progress.total_steps, finite)
            latest = asyncio.run_coroutine_threadsafe(self._report(job.id, clean), loop)

        try:
            return await self._execute(job, report)
        finally:
            # Reports are written in their order, so the others are there once the latest is.
            if latest is not None:
                await asyncio.wait([asyncio.wrap_future(latest)])

    async def _report(self, id_: str, progress: Progress) -> None:
        await self._store.report(id_, self.owner, progress)
        self._changed.ring()


@dataclass(frozen=True)
class _Execution:
    """A job that takes slots here; the task ends once they are free again."""

    size: int
    attempt: Attempt
    task: asyncio.Task[None]


class _Bell:
    """Wakes all who wait for its next ring."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def ring(self) -> None:
        self.next.set()
        self.next = asyncio.Event()


async def _heard(ring: asyncio.Event, timeout_s: float) -> None:
    """Waits for a ring in this process; others have none that is heard here, and so not for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await ring.wait()
