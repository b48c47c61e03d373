"""Runs jobs in a bounded number of slots and tells watchers what happens."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from w2s.artifacts.uris import check_key
from w2s.errors import Cancelled, W2SError
from w2s.jobs.attempt import Attempt
from w2s.jobs.job import Event, Job, Progress, State
from w2s.jobs.owner import new_owner
from w2s.jobs.store import JobStore, Lease

log = logging.getLogger(__name__)

INTERNAL = 13

# Tells how far a job has come; may be called from any thread.
Report = Callable[[Progress], None]
# Does a job's work and returns its result as JSON. Cancelled by asyncio.
Execute = Callable[[Job, Report], Awaitable[dict[str, Any]]]


class JobManager:
    """Jobs of one kind: a queue, slots that work it off, and watchers.

    Servers that share the database share the jobs: any may create, watch or cancel one, and
    one at a time executes it, under a lease that it renews. A server that stops puts its
    running jobs back into the queue. The jobs of one that was killed are taken over: at once
    on the same host, elsewhere when their leases end. Either way a new attempt begins.

    Args:
        store: Where the jobs are.
        execute: Does a job's work.
        slots: Jobs that run at once in this process, >= 1.
        max_queued: Jobs that may wait.
        on_end: Called with each job that has ended in this process.
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
        self._running: dict[str, Attempt] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._cancelled: set[str] = set()
        self._queued = _Bell()
        self._changed = _Bell()

    async def start(self) -> None:
        """Starts the slots; they take up what an earlier server left, too."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._slots)]

    async def stop(self) -> None:
        """Stops the running jobs and puts them back into the queue for the next server."""
        self._stopping = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        # Also what was claimed at this very moment, and has not begun.
        await self._store.release(self.owner)
        self._changed.ring()

    async def create(self, request_id: str, spec: dict[str, Any], extra: dict[str, Any] | None = None) -> Job:
        """Adds a job, or finds the one that the request made before.

        Args:
            request_id: The job's id; empty for a new one.
            spec: What decides its result; JSON.
            extra: What does not; JSON.

        Raises:
            InvalidArgument: The id is malformed.
            AlreadyExists, ResourceExhausted: As `JobStore.create`.
        """
        id_ = check_key(request_id, "request_id") if request_id else uuid.uuid4().hex
        job, queued = await self._store.create(id_, spec, extra or {}, self._max_queued)
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

    async def delete(self, id_: str) -> None:
        """Forgets a job that has ended, and its events; who still watches it finds it gone.

        Raises:
            NotFound, FailedPrecondition: As `JobStore.delete`.
        """
        await self._store.delete(id_)
        self._changed.ring()

    async def cancel(self, id_: str) -> Job:
        """Cancels a job that has not ended, and returns it once it has."""
        # Said before anything is awaited: a slot that is just taking the job up sees it.
        self._cancelled.add(id_)
        try:
            if id_ in self._running:
                self._running[id_].stop(Lease.CANCELLED)
            while True:
                changed = self._changed.next
                # Asked again and again: its owner may die before it has heard of it.
                job = await self._store.cancel(id_)
                if job.state.ended:
                    self._changed.ring()
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

    async def _work(self) -> None:
        while not self._stopping:
            queued, asked = self._queued.next, asyncio.get_running_loop().time()
            try:
                job = await self._store.claim(self.owner, self._lease_s, tuple(self._running))
                if job is None:
                    await _heard(queued, self._poll_s)
                elif job.state.ended:
                    self._over(job)
                else:
                    await self._attempt(job, asked)
            except SQLAlchemyError as error:
                # The slot outlives a database that is away; the lease of a job it could not end runs out.
                log.error("the database failed a slot", extra={"kind": self._store.kind, "reason": str(error)})
                await asyncio.sleep(self._poll_s)

    async def _attempt(self, job: Job, claimed: float) -> None:
        task = asyncio.ensure_future(self._run(job))
        renew = partial(self._store.renew, job.id, self.owner, self._lease_s)
        attempt = self._running[job.id] = Attempt(task, renew, self._lease_s, claimed)
        if job.id in self._cancelled:
            attempt.stop(Lease.CANCELLED)
        self._changed.ring()
        keeping = asyncio.create_task(attempt.keep())
        try:
            ended = await self._outcome(job, attempt)
        finally:
            keeping.cancel()
            del self._running[job.id]
        if ended is None:
            log.warning("the lease of a job was lost", extra={"kind": job.kind, "job": job.id, "attempt": job.attempt})
        else:
            self._over(ended)

    async def _outcome(self, job: Job, attempt: Attempt) -> Job | None:
        """Waits for the work and returns the job as it has ended, or None when its lease was lost."""
        try:
            result = await attempt.task
        except (asyncio.CancelledError, Cancelled):
            if attempt.lease is not Lease.HELD:
                return await self._end(job, attempt, State.CANCELLED)
            if self._stopping:
                raise
            message = "the work was cancelled, and nobody asked for it"
            return await self._end(job, attempt, State.FAILED, code=Cancelled.code, message=message)
        except W2SError as error:
            return await self._end(job, attempt, State.FAILED, code=error.code, message=error.message)
        except Exception as error:
            log.exception("job failed", extra={"kind": job.kind, "job": job.id})
            message = f"{type(error).__name__}: {error}"
            return await self._end(job, attempt, State.FAILED, code=INTERNAL, message=message)
        return await self._end(job, attempt, State.SUCCEEDED, result=result)

    async def _end(self, job: Job, attempt: Attempt, state: State, **outcome: Any) -> Job | None:
        if attempt.lease is Lease.LOST:
            return None
        return await self._store.end(job.id, self.owner, state, **outcome)

    def _over(self, job: Job) -> None:
        self._changed.ring()
        log.info("job ended", extra={"kind": job.kind, "job": job.id, "state": job.state.value})
        self._on_end(job)

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
