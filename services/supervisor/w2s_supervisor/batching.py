"""One teacher's queue: rows of many callers become batches that hold little padding."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from w2s.errors import Internal, ResourceExhausted, W2SError
from w2s.models.engine import Item

log = logging.getLogger(__name__)

# A batch may be padded to a fifth more than it holds: more rows are worth that much, and no more.
_MAX_PADDED = 1.2
# Batches of bulk callers that are handed over at once: the model need not wait for the event loop in between.
_AHEAD = 2


Result = NDArray[np.float32]
# Runs a batch off the event loop: one array an item, in their order.
Compute = Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]


class Observer(Protocol):
    """Told what the queue does."""

    def queued(self, waiting: int) -> None:
        """So many items wait now."""

    def waited(self, seconds: float) -> None:
        """An item waited so long for its batch."""

    def batched(self, items: int, tokens: int) -> None:
        """A batch of so many items and tokens, padding left out, was computed."""

    def failed(self) -> None:
        """An item failed by itself."""


def select(lengths: Sequence[int], budget: int) -> list[int]:
    """Chooses the next batch: the item that waits longest, and those nearest to it in length.

    Args:
        lengths: Tokens of the waiting items in the order they came, N >= 1.
        budget: The batch's items times its longest item stay within this, >= 1; a longer item
            is a batch of its own.

    Returns:
        Distinct indices into `lengths`, 0 among them, in ascending order.
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    low = high = order.index(0)
    tokens = longest = lengths[0]
    while True:
        ends = [end for end in (low - 1, high + 1) if 0 <= end < len(order)]
        # The neighbour that adds less padding first.
        for end in sorted(ends, key=lambda end: abs(lengths[order[end]] - longest)):
            length = lengths[order[end]]
            padded = max(longest, length) * (high - low + 2)
            if padded <= min(budget, _MAX_PADDED * (tokens + length)):
                low, high = min(low, end), max(high, end)
                tokens, longest = tokens + length, max(longest, length)
                break
        else:
            return sorted(order[low : high + 1])


@dataclass(eq=False)
class _Waiting:
    """An item in the queue, and who waits for it."""

    item: Item
    done: asyncio.Future[Result | W2SError]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Makes batches of what waits, one after another, and gives each caller its own results.

    Items whose caller has gone away, by cancellation or deadline, are dropped before they are
    computed. When a batch fails it is halved until the items that fail stand alone.

    Args:
        compute: Runs a batch, and those that are handed over meanwhile in turn.
        token_budget: Padded tokens a batch, >= 1.
        max_waiting: Items that may wait, >= 1.
        max_delay_s: Seconds that a batch which is not full waits for more, >= 0.
        observer: Told what happens.
    """

    def __init__(
        self, compute: Compute, *, token_budget: int, max_waiting: int, max_delay_s: float, observer: Observer
    ) -> None:
        self._compute = compute
        self._budget = token_budget
        self._max_waiting = max_waiting
        self._max_delay_s = max_delay_s
        self._observer = observer
        self._waiting: list[_Waiting] = []
        self._ahead = asyncio.Semaphore(_AHEAD)
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._turnstile = asyncio.Lock()
        self._rate = 0.0
        self._worker = asyncio.create_task(self._work())

    async def ask(self, items: Sequence[Item], *, wait: bool) -> list[Result | W2SError]:
        """Computes items in whatever batches come to pass.

        Args:
            items: What to compute.
            wait: Wait for room in the queue, in turn, rather than be refused.

        Raises:
            ResourceExhausted: The queue is full; it says when a retry may succeed.
        """
        if wait:
            async with self._turnstile:
                while not self._fits(items):
                    self._room.clear()
                    await self._room.wait()
        elif not self._fits(items):
            waiting = len(self._waiting)
            delay = min(30.0, max(0.05, waiting / self._rate)) if self._rate else 1.0
            raise ResourceExhausted(f"{waiting} sequences wait for the teacher, and {self._max_waiting} may", delay)
        loop = asyncio.get_running_loop()
        entries = [_Waiting(item, loop.create_future()) for item in items]
        self._waiting += entries
        self._changed()
        try:
            return list(await asyncio.gather(*(entry.done for entry in entries)))
        except asyncio.CancelledError:
            # What is cancelled makes room at once, not when the batch under way has ended.
            self._waiting = [entry for entry in self._waiting if not entry.done.done()]
            self._changed()
            raise

    async def ask_batch(self, items: Sequence[Item]) -> list[Result | W2SError]:
        """Computes items as one batch of their own; it takes turns with what waits in the queue."""
        async with self._ahead:
            return await self._isolating(items)

    async def close(self) -> None:
        """Ends the worker and lets go of what computes; nothing may be asked any more."""
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        del self._compute

    def _fits(self, items: Sequence[Item]) -> bool:
        # More than the queue holds at all is let into an empty one.
        return not self._waiting or len(self._waiting) + len(items) <= self._max_waiting

    def _changed(self) -> None:
        self._observer.queued(len(self._waiting))
        self._wake.set()
        self._room.set()

    async def _work(self) -> None:
        while True:
            if self._waiting:
                await self._linger()
                await self._run_queued()
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _linger(self) -> None:
        """Waits for a batch to fill, at most until the oldest item has waited `max_delay_s`."""
        until = self._waiting[0].since + self._max_delay_s
        while (left := until - time.monotonic()) > 0:
            if sum(entry.item.length for entry in self._waiting) >= self._budget:
                return
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    async def _run_queued(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry.done.done()]
        if not self._waiting:
            self._changed()
            return
        chosen = select([entry.item.length for entry in self._waiting], self._budget)
        entries = [self._waiting[index] for index in chosen]
        for index in reversed(chosen):
            del self._waiting[index]
        self._changed()
        now = time.monotonic()
        for entry in entries:
            self._observer.waited(now - entry.since)
        results = await self._isolating([entry.item for entry in entries])
        seconds = max(time.monotonic() - now, 1e-6)
        self._rate = 0.8 * self._rate + 0.2 * len(entries) / seconds if self._rate else len(entries) / seconds
        for entry, result in zip(entries, results, strict=True):
            if not entry.done.done():
                entry.done.set_result(result)

    async def _isolating(self, items: Sequence[Item]) -> list[Result | W2SError]:
        try:
            results = list(await self._compute(items))
        except Exception:
            if len(items) == 1:
                log.exception("a sequence failed", extra={"tokens": items[0].length})
                self._observer.failed()
                return [Internal("the model failed on this input; the server's log says more")]
            middle = len(items) // 2
            return [*await self._isolating(items[:middle]), *await self._isolating(items[middle:])]
        self._observer.batched(len(items), sum(item.length for item in items))
        return list(results)
