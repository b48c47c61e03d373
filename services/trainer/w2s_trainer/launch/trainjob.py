"""Executes runs as Kubeflow TrainJobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from w2s.artifacts import ArtifactStore
from w2s.artifacts.workspace import Workspace
from w2s.errors import AlreadyExists, FailedPrecondition, Internal, Unavailable, W2SError
from w2s.jobs import Job, Progress, Report
from w2s_trainer.launch.cluster import TrainJobs
from w2s_trainer.launch.failures import RunFailed
from w2s_trainer.launch.manifest import LAUNCHED, RUN, trainjob, trainjob_name
from w2s_trainer.launch.processes import WORKER
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.worker.order import Order
from w2s_trainer.worker.outbox import OutboxReader

log = logging.getLogger(__name__)

# What pods get beyond their grace period, until they are surely gone.
_GONE_S = 30.0
_GONE_POLL_S = 0.5


class TrainJobLauncher:
    """Executes each run as one TrainJob, named after it.

    A server that stops, or loses a run, leaves the TrainJob running: the next one finds it by
    its name and goes on reading what its pods say. The TrainJob of a run that has succeeded, or
    was cancelled, is deleted; that of one that has failed stays to be looked at, until the run is
    tried again or deleted.

    Args:
        settings: The cluster, the namespace and the runtime.
        store: Where runs keep their checkpoints, and tell how they are; pods reach it, too.
        module: What each process of a pod runs.
        poll_s: Seconds between two looks at a run, > 0.
    """

    def __init__(
        self, settings: TrainerSettings, store: ArtifactStore, module: str = WORKER, poll_s: float = 1.0
    ) -> None:
        self._settings = settings
        self._store = store
        self._module = module
        self._poll_s = poll_s
        self._jobs = TrainJobs(settings)

    async def execute(self, job: Job, report: Report) -> dict[str, Any]:
        """Runs a job to its result; cancelled as `cancelled`, it deletes the TrainJob.

        Raises:
            RunFailed: The run ended by an error, or its TrainJob failed.
            FailedPrecondition: The cluster lacks something, or has a TrainJob of that name of somebody else.
            Unavailable: The API did not answer.
        """
        name = trainjob_name(job.id)
        workspace = self._store.workspace("models", job.id)
        try:
            launch = await self._launch(job, name, workspace)
            return await self._follow(name, await asyncio.to_thread(OutboxReader, workspace, launch), report)
        except asyncio.CancelledError as error:
            if error.args == ("cancelled",):
                await self._cancel(name)
            raise

    async def discard(self, run_id: str) -> None:
        """Deletes the TrainJob of a run that has ended, which may be running still.

        Raises:
            Unavailable: Its pods are not gone within their grace, or the API did not answer.
            FailedPrecondition: The server may not.
        """
        name = trainjob_name(run_id)
        found = await self._jobs.get(name)
        if found is not None and found["metadata"].get("annotations", {}).get(RUN) == run_id:
            await self._delete(name)

    def close(self) -> None:
        """Closes the connections to the cluster."""
        self._jobs.close()

    async def _launch(self, job: Job, name: str, workspace: Workspace) -> str:
        """Sees that the run has a TrainJob, and returns its launch."""
        order = Order.of(job)
        found = await self._jobs.get(name)
        if found is not None and (launch := await self._taken_over(found, job, workspace)) is not None:
            return launch
        await asyncio.to_thread(order.give, workspace)
        body = trainjob(job.id, order.launch, order.resources, self._settings, self._module)
        try:
            await _undivided(self._jobs.create(body))
        except AlreadyExists:
            # A create whose answer was lost, or another server's.
            found = await self._jobs.get(name)
            launch = _launch_of(found, job) if found is not None else order.launch
            await asyncio.to_thread(order.model_copy(update={"launch": launch}).give, workspace)
            return launch
        log.info("TrainJob created", extra={"run": job.id, "trainjob": name})
        return order.launch

    async def _taken_over(self, found: dict[str, Any], job: Job, workspace: Workspace) -> str | None:
        """The launch of a TrainJob that is the run's; one that is over is deleted, for None."""
        launch = _launch_of(found, job)
        over = "deletionTimestamp" in found["metadata"] or _condition(found, "Failed") is not None
        if not over and not (await asyncio.to_thread(OutboxReader, workspace, launch)).closed:
            log.info("TrainJob taken over", extra={"run": job.id, "trainjob": found["metadata"]["name"]})
            return launch
        await self._delete(found["metadata"]["name"])
        return None

    async def _follow(self, name: str, outbox: OutboxReader, report: Report) -> dict[str, Any]:
        pending = ""
        while True:
            # Asked before the read: what the pods said before the end is there now.
            waits_for, failure = await self._look(name)
            for message in await asyncio.to_thread(outbox.new):
                if "progress" in message:
                    report(Progress(**message["progress"]))
                elif "error" in message:
                    # Not told again to the next attempt, as a result is that nobody has taken down.
                    await asyncio.to_thread(outbox.keep, closed=True)
                    raise RunFailed(**message["error"])
                elif "result" in message:
                    return dict(message["result"])
            await asyncio.to_thread(outbox.keep)
            if failure is not None:
                raise failure
            if waits_for not in ("", pending):
                report(Progress(waits_for))
            pending = waits_for
            await asyncio.sleep(self._poll_s)

    async def _look(self, name: str) -> tuple[str, RunFailed | None]:
        """What a TrainJob waits for, as a stage, and why its pods will say no more, if that is so."""
        try:
            found = await self._jobs.get(name)
        except Unavailable as error:
            # The pods go on without the API.
            log.warning("a TrainJob could not be read", extra={"trainjob": name, "reason": error.message})
            return "", None
        if found is None or "deletionTimestamp" in found["metadata"]:
            return "", RunFailed(Internal.code, f"TrainJob {name} was deleted before the run had ended")
        return _pending(found), _failure(name, found)

    async def _cancel(self, name: str) -> None:
        try:
            await self._delete(name)
        except W2SError as error:
            log.error("a cancelled TrainJob may be running", extra={"trainjob": name, "reason": error.message})

    async def _delete(self, name: str) -> None:
        """Deletes a TrainJob; it and its pods are gone when this returns."""
        await self._jobs.delete(name)
        deadline = asyncio.get_running_loop().time() + self._settings.checkpoint_grace_s + _GONE_S
        while await self._jobs.get(name) is not None:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"TrainJob {name} is being deleted, and its pods are not gone yet")
            await asyncio.sleep(_GONE_POLL_S)


async def _undivided(call: Coroutine[Any, Any, None]) -> None:
    """Lets a call come to its end, also when cancelled: a TrainJob made later would be nobody's."""
    calling = asyncio.ensure_future(call)
    try:
        await asyncio.shield(calling)
    except asyncio.CancelledError:
        await asyncio.gather(calling, return_exceptions=True)
        raise


def _launch_of(found: dict[str, Any], job: Job) -> str:
    """The launch of a TrainJob, which must be the run's."""
    notes = found["metadata"].get("annotations", {})
    if notes.get(RUN) != job.id or LAUNCHED not in notes:
        raise FailedPrecondition(
            f"TrainJob {found['metadata']['name']} exists and is not of runs/{job.id}: "
            "delete it, or use another request_id"
        )
    return str(notes[LAUNCHED])


def _condition(found: dict[str, Any], type_: str) -> dict[str, Any] | None:
    """A condition of a TrainJob that holds."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type_ and c["status"] == "True"), None)


def _failure(name: str, found: dict[str, Any]) -> RunFailed | None:
    """Why there will be no result of a TrainJob that has said none."""
    if (failed := _condition(found, "Failed")) is not None:
        return RunFailed(Internal.code, f"TrainJob {name} failed: {failed['reason']}: {failed['message']}")
    if _condition(found, "Complete") is not None:
        return RunFailed(Internal.code, f"TrainJob {name} is complete, and its pods left no result")
    return None


def _pending(found: dict[str, Any]) -> str:
    """What a TrainJob without ready pods is waiting for, as a stage; empty when it is not."""
    if _condition(found, "Suspended") is not None:
        return "suspended"
    jobs = found.get("status", {}).get("jobsStatus", [])
    return "" if any(job.get("ready") or job.get("succeeded") for job in jobs) else "pending"
