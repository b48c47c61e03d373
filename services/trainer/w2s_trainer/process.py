"""Executes runs in child processes, forked from a clean one that has torch imported already."""

from __future__ import annotations

import asyncio
import multiprocessing as mp
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from w2s.errors import W2SError
from w2s.jobs import Job, Progress, Report
from w2s_trainer.settings import TrainerSettings

_END_GRACE_S = 5.0


class RunFailed(W2SError):
    """A run that ended by an error; carries the code of the child's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]


class Launcher:
    """Starts a process for each run.

    Args:
        settings: The trainer's settings; runs share its CPU threads evenly.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        self._settings = settings
        # A fork of this server would copy its threads' locks; the fork server has none.
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(["w2s_trainer.worker"])
        forkserver.ensure_running()
        self._readers = ThreadPoolExecutor(settings.slots, thread_name_prefix="run")

    async def execute(self, job: Job, report: Report) -> dict[str, Any]:
        """Runs a job to its result; cancelling ends the process.

        Raises:
            RunFailed: The run ended by an error, or its process died.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_child, args=(theirs, job.id, job.spec, self._settings), name=f"run-{job.id}"
        )
        await asyncio.to_thread(process.start)
        theirs.close()
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._readers, _read, ours, report)
        try:
            result = await asyncio.shield(reading)
        finally:
            process.terminate()
            await asyncio.to_thread(process.join, _END_GRACE_S)
            if process.is_alive():
                process.kill()
            await asyncio.wait([reading])
            ours.close()
        if result is None:
            raise RunFailed(13, f"the run's process ended with code {process.exitcode}, without a result")
        if "error" in result:
            raise RunFailed(**result["error"])
        return result

    def close(self) -> None:
        """Ends the reader threads."""
        self._readers.shutdown()


def _read(connection: Connection, report: Report) -> dict[str, Any] | None:
    """Passes progress on until the child's result, or None when it dies without one."""
    while True:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            return None
        if kind == "result":
            return dict(content)
        report(Progress(**content))


def _child(connection: Connection, run_id: str, spec: dict[str, Any], settings: TrainerSettings) -> None:
    # Imported in the child only: the server needs no torch, and the fork server has it already.
    from w2s_trainer.worker import main  # noqa: PLC0415

    main(connection, run_id, spec, settings)
