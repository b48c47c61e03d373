"""Runs blocking work off the event loop, and stops it when its task is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

from w2s.errors import Cancelled

T = TypeVar("T")
# Raises Cancelled when the work should stop; called now and then by the work.
Check = Callable[[], None]


async def run_stoppable(executor: Executor, work: Callable[[Check], T]) -> T:
    """Runs `work(check)` in an executor.

    When the awaiting task is cancelled, `check` raises in the work, and the cancellation
    goes on once the work has ended, however often it is repeated: nothing runs on behind its back.
    """
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stopped")

    future = executor.submit(work, check)
    done = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop.set()
        # Asked of the executor's own future: asyncio's would say yes to work that runs already.
        if not future.cancel():
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([done])
        raise
