"""Clears up after runs that have ended."""

from __future__ import annotations

import asyncio
import logging

from w2s.jobs import Job, State
from w2s_trainer.files import RunFiles
from w2s_trainer.launch import Launcher

log = logging.getLogger(__name__)


class Cleanup:
    """Removes what runs leave, in the background; who needs it done waits for it.

    Args:
        files: The files of runs.
        launcher: Ends what may still be executed of them.
    """

    def __init__(self, files: RunFiles, launcher: Launcher) -> None:
        self._files = files
        self._launcher = launcher
        self._pending: dict[str, asyncio.Task[None]] = {}

    def after(self, run: Job) -> None:
        """Begins to clear up after a run; a failed one goes on from its checkpoints when it is created again."""
        if run.state is State.FAILED:
            return
        task = asyncio.create_task(self.clear(run.id))
        self._pending[run.id] = task
        task.add_done_callback(lambda task: self._over(run.id, task))

    async def done(self, run_id: str) -> None:
        """Returns once nothing is being removed of a run."""
        while (task := self._pending.get(run_id)) is not None:
            await asyncio.wait([task])

    async def clear(self, run_id: str) -> None:
        """Ends what may still be executed of a run that has ended, and removes what it had done so far.

        Raises:
            W2SError: It may still be executed; nothing is removed.
        """
        await self._launcher.discard(run_id)
        await asyncio.to_thread(self._files.remove_checkpoints, run_id)

    async def close(self) -> None:
        """Returns once nothing is being removed."""
        await asyncio.gather(*self._pending.values(), return_exceptions=True)

    def _over(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._pending.get(run_id) is task:
            del self._pending[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("could not clear up after a run", extra={"run": run_id, "reason": str(error)})
