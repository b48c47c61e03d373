"""How much may wait for a server elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from w2s.errors import ResourceExhausted
from w2s_supervisor.backends.protocol import Lane


class Room:
    """Bounds the rows that wait for a server, and keeps bulk callers from taking all its places.

    Args:
        places: Requests that the server gets at once, >= 1.
        max_waiting: Rows that may wait, >= 1; more are refused to callers who do not want to wait.
    """

    def __init__(self, places: int, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting = 0
        self._bulk = asyncio.Semaphore(max(1, places // 2))

    @contextmanager
    def admit(self, rows: int, lane: Lane) -> Iterator[None]:
        """Counts rows as waiting while the block runs.

        Raises:
            ResourceExhausted: Too many wait already (ONLINE).
        """
        if lane is Lane.ONLINE and self._waiting and self._waiting + rows > self._max_waiting:
            raise ResourceExhausted(f"{self._waiting} rows wait for the teacher's server, and {self._max_waiting} may")
        self._waiting += rows
        try:
            yield
        finally:
            self._waiting -= rows

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Has a request of a bulk caller wait while half of the places are taken by such."""
        if lane is not Lane.BULK:
            yield
            return
        async with self._bulk:
            yield
