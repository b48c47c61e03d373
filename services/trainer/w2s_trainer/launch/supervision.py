"""Sees a run's processes through: starts them again when they die, and stops them when told."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from w2s.errors import Internal
from w2s.jobs import Progress, Report
from w2s_trainer.launch.failures import RunFailed
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.worker.outbox import Message

log = logging.getLogger(__name__)

# What a cancelled execution says when nobody will go on with it here.
_AT_ONCE = ("cancelled", "lost")


class Processes(Protocol):
    """A run's processes, started once."""

    def messages(self) -> Iterator[Message]:
        """What they say, in order, until they have ended."""

    def terminate(self) -> None:
        """Asks them to write a checkpoint and end."""

    def kill(self) -> None:
        """Ends them at once, and whatever they have started."""

    def close(self) -> str:
        """Ends what is left of them, waits for it, and says how they ended, as `was killed by signal 9`."""


class Supervision:
    """One execution of a run, in a thread.

    Args:
        run_id: The run's id, for logs.
        start: Starts its processes; they go on from the last checkpoint.
        report: Told of progress.
        settings: How often they may die, and how long they get to stop.
    """

    def __init__(self, run_id: str, start: Callable[[], Processes], report: Report, settings: TrainerSettings) -> None:
        self._run_id = run_id
        self._start = start
        self._report = report
        self._max_deaths = settings.max_restarts
        self._grace_s = settings.checkpoint_grace_s
        self._lock = threading.Lock()
        self._processes: Processes | None = None
        self._asked: tuple[str, ...] = ()
        self._grace: threading.Timer | None = None
        self._deaths = 0

    async def result(self, threads: Executor) -> dict[str, Any]:
        """The run's result; cancelling stops the processes, and returns when none is left.

        The argument of the cancellation says why: `cancelled` and `lost` end them at once, all
        else lets them write a checkpoint first.

        Args:
            threads: Where the execution waits for its processes.

        Raises:
            RunFailed: The run ended by an error, or its processes died again and again.
        """
        running: Future[dict[str, Any] | None] = threads.submit(self._run)
        try:
            result = await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError as error:
            await self._stopped(running, error)
            raise
        assert result is not None
        return result

    async def _stopped(self, running: Future[dict[str, Any] | None], error: asyncio.CancelledError) -> None:
        while not running.done():
            self._stop(at_once=bool(error.args) and error.args[0] in _AT_ONCE)
            try:
                await asyncio.wait([asyncio.wrap_future(running)])
            except asyncio.CancelledError as again:
                # While a checkpoint is written the lease may be lost, or the run cancelled.
                error = again
        if (failure := running.exception()) is not None:
            log.warning("a stopped run failed", extra={"run": self._run_id, "reason": str(failure)})

    def _stop(self, at_once: bool) -> None:
        with self._lock:
            self._asked = (*self._asked, "kill" if at_once else "terminate")
            if self._processes is not None:
                self._tell(self._processes)

    def _tell(self, processes: Processes) -> None:
        if "kill" in self._asked:
            processes.kill()
        elif "terminate" in self._asked and self._grace is None:
            processes.terminate()
            self._grace = threading.Timer(self._grace_s, self._stop, kwargs={"at_once": True})
            self._grace.daemon = True
            self._grace.start()

    def _run(self) -> dict[str, Any] | None:
        """The result, or None when the run was stopped."""
        while not self._asked:
            processes = self._start()
            with self._lock:
                self._processes = processes
                self._tell(processes)
            try:
                outcome = self._follow(processes)
            finally:
                ended = self._over(processes)
            if outcome is not None and "stopped" not in outcome:
                return _result(outcome)
            if outcome is None and not self._asked:
                self._died(ended)
        return None

    def _over(self, processes: Processes) -> str:
        with self._lock:
            # Told to nobody after this: its pid may be another's soon.
            self._processes = None
            if self._grace is not None:
                self._grace.cancel()
        return processes.close()

    def _follow(self, processes: Processes) -> Message | None:
        for message in processes.messages():
            if "progress" not in message:
                return message
            progress = Progress(**message["progress"])
            if progress.stage == "checkpoint":
                self._deaths = 0
            self._report(progress)
        return None

    def _died(self, how: str) -> None:
        self._deaths += 1
        log.warning("a run's process died", extra={"run": self._run_id, "how": how, "deaths": self._deaths})
        if self._deaths >= self._max_deaths:
            times = f"{self._deaths} times in a row " if self._deaths > 1 else ""
            raise RunFailed(Internal.code, f"the run's process died {times}without a new checkpoint: it {how}")


def _result(outcome: Message) -> dict[str, Any]:
    if "error" in outcome:
        raise RunFailed(**outcome["error"])
    return dict(outcome["result"])
