"""Runs jobs in a bounded number of slots and tells watchers what happens."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from w2s.artifacts.uris import check_key
from w2s.errors import Cancelled, W2SError
from w2s.jobs.job import Event, Job, Progress, State
from w2s.jobs.store import JobStore

log = logging.getLogger(__name__)

INTERNAL = 13

# Tells how far a job has come; may be called from any thread.
Report = Callable[[Progress], None]
# Does a job's work and returns its result as JSON. Cancelled by asyncio.
Execute = Callable[[Job, Report], Awaitable[dict[str, Any]]]


class JobManager:
    """Jobs of one kind: a queue, slots that work it off, and watchers.

    A server that stops puts its running jobs back into the queue, and one that was killed
    finds them as running; either way the next server begins a new attempt.

    Args:
        store: Where the jobs are.
        execute: Does a job's work.
        slots: Jobs that run at once, >= 1.
        max_queued: Jobs that may wait.
        on_end: Called with each job that has ended in this process.
    """

    def __init__(
        self,
        store: JobStore,
        execute: Execute,
        *,
        slots: int = 1,
        max_queued: int = 1000,
        on_end: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self._store = store
        self._execute = execute
        self._slots = slots
        self._max_queued = max_queued
        self._on_end = on_end
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._cancelled: set[str] = set()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Queues what an earlier server left, and starts the slots."""
        for job in await self._store.with_state(State.RUNNING):
            await self._store.requeue(job.id)
        for job in await self._store.with_state(State.QUEUED):
            self._queue.put_nowait(job.id)
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._slots)]

    async def stop(self) -> None:
        """Stops the running jobs and puts them back into the queue for the next server."""
        tasks = (*self._workers, *self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            self._queue.put_nowait(id_)
            self._tell()
        return job

    async def get(self, id_: str) -> Job:
        """The job of that id; NotFound when there is none."""
        return await self._store.get(id_)

    async def page(self, size: int, token: str) -> tuple[list[Job], str]:
        """A page of jobs, newest first, and the token of the next page."""
        return await self._store.page(size, token)

    async def cancel(self, id_: str) -> Job:
        """Cancels a job that has not ended, and returns it once it has."""
        # Said before anything is awaited: a slot that is just taking the job up sees it.
        self._cancelled.add(id_)
        task = self._running.get(id_)
        if task is not None:
            task.cancel()
            async for _ in self.watch(id_, 0):
                pass
            return await self._store.get(id_)
        try:
            job = await self._store.end(id_, State.CANCELLED)
        finally:
            self._cancelled.discard(id_)
        self._tell()
        return job

    async def watch(self, id_: str, after: int) -> AsyncIterator[Event]:
        """Yields a job's events, past and coming, until it has ended.

        Args:
            id_: The job.
            after: Yields only events with a greater sequence.
        """
        while True:
            # Taken before the read: what happens after it sets this very event.
            changed = self._changed
            job, events = await self._store.events(id_, after)
            for event in events:
                after = event.sequence
                yield event
            if job.state.ended:
                return
            await changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _work(self) -> None:
        while True:
            job = await self._store.begin(await self._queue.get())
            if job is not None and job.id not in self._cancelled:
                self._tell()
                await self._attempt(job)

    async def _attempt(self, job: Job) -> None:
        task = self._running[job.id] = asyncio.ensure_future(self._run(job))
        try:
            ended = await self._store.end(job.id, State.SUCCEEDED, result=await task)
        except (asyncio.CancelledError, Cancelled):
            if job.id not in self._cancelled:
                # The server stops: the next one carries on.
                await self._store.requeue(job.id)
                raise
            ended = await self._store.end(job.id, State.CANCELLED)
        except W2SError as error:
            ended = await self._store.end(job.id, State.FAILED, code=error.code, message=error.message)
        except Exception as error:
            log.exception("job failed", extra={"kind": job.kind, "job": job.id})
            ended = await self._store.end(
                job.id, State.FAILED, code=INTERNAL, message=f"{type(error).__name__}: {error}"
            )
        finally:
            del self._running[job.id]
            self._cancelled.discard(job.id)
        self._tell()
        log.info("job ended", extra={"kind": job.kind, "job": job.id, "state": ended.state.value})
        self._on_end(ended)

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
        await self._store.report(id_, progress)
        self._tell()
