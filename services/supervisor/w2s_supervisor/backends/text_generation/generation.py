"""Several continuations, streamed side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from w2s.models.inputs import Piece, Sampling
from w2s_supervisor.backends.text_generation.client import Event, Give

# Pieces that wait for a slow reader; then the server waits too.
_AHEAD = 64
_SEEDS = 2**32

# Continues a prompt once, with a seed, and gives out the events.
Stream = Callable[[Sampling, int | None, Give], Awaitable[None]]


def seed_of(sampling: Sampling, sample: int) -> int | None:
    """A continuation's seed: (seed + sample) mod 2^32, so that all differ; None without one."""
    return None if sampling.seed is None else (sampling.seed + sample) % _SEEDS


class StopText:
    """Leaves stop texts, and what follows them, out of a text that comes in pieces.

    Args:
        stops: The stop texts; the first to come up counts.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Takes some more, and gives what can be told by now and whether a stop text has come up."""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            return self._held[: min(found)], True
        # The longest ending that a stop text begins with may become one.
        keep = max((size for stop in self._stops for size in range(1, len(stop)) if self._ends(stop[:size])), default=0)
        told, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return told, False

    def rest(self) -> str:
        """What was held back and has become no stop text."""
        return self._held

    def _ends(self, beginning: str) -> bool:
        return self._held.endswith(beginning)


class Trimmer:
    """Makes one continuation's pieces of a server's events."""

    def __init__(self, index: int, stops: Sequence[str]) -> None:
        self._index = index
        self._stop = StopText(stops)
        self._tokens = 0

    def feed(self, event: Event) -> Piece | None:
        """The next piece; None while nothing can be told for sure."""
        text, stopped = self._stop.feed(event.text)
        finish = "stop" if stopped else event.finish
        if event.finish is not None and not stopped:
            text += self._stop.rest()
        self._tokens += event.tokens
        if not text and finish is None:
            return None
        tokens, self._tokens = self._tokens, 0
        return Piece(self._index, text, tokens, finish)


async def continued(samplings: Sequence[Sampling], stream: Stream) -> AsyncGenerator[Piece, None]:
    """The pieces of all continuations as they come; closing it ends their streams.

    Args:
        samplings: How to continue each prompt; their samples are numbered through.
        stream: Continues a prompt once.
    """
    ready: asyncio.Queue[Piece | Exception] = asyncio.Queue(_AHEAD)
    each = [(sampling, seed_of(sampling, sample)) for sampling in samplings for sample in range(sampling.samples)]
    tasks = [asyncio.create_task(_sample(index, *one, stream, ready)) for index, one in enumerate(each)]
    try:
        left = len(tasks)
        while left:
            piece = await ready.get()
            if isinstance(piece, Exception):
                raise piece
            left -= piece.finish_reason is not None
            yield piece
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sample(
    index: int, sampling: Sampling, seed: int | None, stream: Stream, ready: asyncio.Queue[Piece | Exception]
) -> None:
    trimmer = Trimmer(index, sampling.stop)

    async def give(event: Event) -> bool:
        piece = trimmer.feed(event)
        if piece is not None:
            await ready.put(piece)
        return piece is None or piece.finish_reason is None

    try:
        await stream(sampling, seed, give)
    except Exception as error:  # whatever it is, the reader waits for it
        await ready.put(error)
