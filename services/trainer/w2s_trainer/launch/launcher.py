"""Chooses how runs are executed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from w2s.artifacts import ArtifactStore
from w2s.errors import InvalidArgument
from w2s.jobs import Job, Report
from w2s_trainer.launch.local import Child, ForkServer, child
from w2s_trainer.launch.processes import WORKER, TorchrunProcesses
from w2s_trainer.launch.slots import Slots
from w2s_trainer.launch.supervision import Processes, Supervision
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import Resources
from w2s_trainer.worker.order import Order


class Launcher(Protocol):
    """Executes runs."""

    async def execute(self, job: Job, report: Report) -> dict[str, Any]:
        """Runs a job to its result.

        Cancelling stops it; the argument of the cancellation says why: `cancelled`, `stopping`
        of the server, or `lost` to another server.

        Raises:
            RunFailed: The run ended by an error.
            W2SError: It could not be started.
        """

    async def discard(self, run_id: str) -> None:
        """Ends what may still be executed of a run that has ended, wherever it was begun.

        Raises:
            W2SError: It may go on.
        """

    def close(self) -> None:
        """Puts away what it needs; no run is executed any more."""


def launcher(settings: TrainerSettings, store: ArtifactStore, owner: str) -> Launcher:
    """The launcher that the settings say.

    Args:
        settings: The trainer's settings.
        store: Where runs keep their checkpoints, and tell how they are.
        owner: This server, as `w2s.jobs.owner` names it.

    Raises:
        InvalidArgument: The slots do not fit the machine.
        FailedPrecondition: There is no cluster to be found.
    """
    if settings.launcher == "kubernetes":
        # A server without a cluster needs no client of one.
        from w2s_trainer.launch.trainjob import TrainJobLauncher  # noqa: PLC0415

        return TrainJobLauncher(settings, store)
    return LocalLauncher(settings, store, owner)


class LocalLauncher:
    """Executes runs on this machine, as many as there are slots for.

    A run of one process is forked from one with torch in it; torchrun starts those of several.
    Each start gives an order, and so ends what an earlier attempt may still have running elsewhere.

    Args:
        settings: The trainer's settings; each slot has an even share of the CPU threads.
        store: Where runs find their orders, and those of several processes tell how they are.
        owner: This server, which no run outlives.
        child: What a forked process does.
        module: What each of several processes runs.
    """

    def __init__(
        self, settings: TrainerSettings, store: ArtifactStore, owner: str, child: Child = child, module: str = WORKER
    ) -> None:
        self._settings = settings
        self._store = store
        self._owner = owner
        self._module = module
        self._slots = Slots(settings)
        self._threads = max(1, (settings.threads or os.cpu_count() or 1) // self._slots.count)
        self._forks = ForkServer(settings, child)
        self._waiting = ThreadPoolExecutor(self._slots.count, thread_name_prefix="run")

    async def execute(self, job: Job, report: Report) -> dict[str, Any]:
        """Runs a job to its result; cancelling stops it, and leaves no process.

        Raises:
            InvalidArgument: It needs more than this machine has.
            RunFailed: It ended by an error, or its processes died again and again.
        """
        resources = Resources.model_validate(job.extra.get("resources", {}))
        if resources.nodes > 1:
            raise InvalidArgument("resources.nodes", "the local launcher has 1 node; launcher=kubernetes has more")
        async with self._slots.hold(resources.processes) as slots:
            start = partial(self._start, job, self._slots.gpus(slots))
            return await Supervision(job.id, start, report, self._settings).result(self._waiting)

    async def discard(self, run_id: str) -> None:
        """Nothing is left: no process outlives the server that executes its run."""

    def close(self) -> None:
        """Ends the threads that waited for runs."""
        self._waiting.shutdown()

    def _start(self, job: Job, gpus: list[str]) -> Processes:
        order = Order.of(job)
        workspace = self._store.workspace("models", job.id)
        order.give(workspace)
        if order.resources.processes == 1:
            return self._forks.start(job.id, order, self._threads, gpus)
        return TorchrunProcesses(
            job.id,
            order,
            workspace,
            self._settings,
            owner=self._owner,
            threads=self._threads,
            gpus=gpus,
            module=self._module,
        )
