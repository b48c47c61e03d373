"""Keeps to a rate."""

from __future__ import annotations

import asyncio


class Pace:
    """A token bucket that fills at a rate and holds one second of it, at least one token.

    It gives half a second's tokens at once, so that what they are for is done together.

    Args:
        rate: Tokens a second, > 0.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._least = max(1.0, rate / 2)
        self._tokens = self._most
        self._at = asyncio.get_running_loop().time()

    async def take(self, most: int) -> int:
        """Takes what there is, up to `most` tokens; waits until there are some."""
        self._fill()
        while self._tokens < (least := min(most, self._least)):
            await asyncio.sleep((least - self._tokens) / self._rate)
            self._fill()
        taken = min(most, int(self._tokens))
        self._tokens -= taken
        return taken

    def give_back(self, tokens: int) -> None:
        """Returns tokens that were not used."""
        self._tokens = min(self._most, self._tokens + tokens)

    def _fill(self) -> None:
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
