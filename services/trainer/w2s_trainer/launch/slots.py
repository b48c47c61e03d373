"""What runs on this machine share: slots, and with each a GPU where there are GPUs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from w2s.errors import InvalidArgument
from w2s.gpus import visible_gpus
from w2s_trainer.settings import TrainerSettings


def slot_count(settings: TrainerSettings) -> int:
    """The processes of runs that the server executes at once: as set, or one a GPU, or 1."""
    return settings.slots or len(_gpus(settings)) or 1


def _gpus(settings: TrainerSettings) -> tuple[str, ...]:
    """The GPUs that runs of this server are executed on."""
    local = settings.launcher == "local" and settings.device != "cpu"
    return visible_gpus() if local else ()


class Slots:
    """The server's slots, numbered from 0; slot i has the i-th visible GPU, where there are GPUs.

    Args:
        settings: The trainer's settings.

    Raises:
        InvalidArgument: There are more slots than GPUs, or one GPU is named for all.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        self.count = slot_count(settings)
        self._gpus = _gpus(settings)
        if self._gpus and self.count > len(self._gpus):
            raise InvalidArgument("slots", f"at most {len(self._gpus)}, one for each GPU, got {self.count}")
        if self._gpus and ":" in settings.device:
            raise InvalidArgument("device", "choose GPUs by CUDA_VISIBLE_DEVICES: each slot has one of them")
        self._free = list(range(self.count))
        self._waiting: deque[tuple[int, asyncio.Future[list[int]]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[list[int]]:
        """Holds slots for a block, waiting until so many are free; who came first is served first.

        Args:
            size: How many.

        Raises:
            InvalidArgument: There will never be so many.
        """
        if size > self.count:
            raise InvalidArgument("resources.processes", f"at most {self.count}, the server's slots, got {size}")
        granted: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        self._grant()
        try:
            yield await granted
        finally:
            if granted.done() and not granted.cancelled():
                self._free = sorted(self._free + granted.result())
            self._waiting = deque(waiting for waiting in self._waiting if waiting[1] is not granted)
            self._grant()

    def gpus(self, slots: list[int]) -> list[str]:
        """The GPUs of slots, as CUDA_VISIBLE_DEVICES names them; none where there are none."""
        return [self._gpus[slot] for slot in slots] if self._gpus else []

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= len(self._free):
            size, granted = self._waiting.popleft()
            if not granted.cancelled():
                granted.set_result(self._free[:size])
                self._free = self._free[size:]
