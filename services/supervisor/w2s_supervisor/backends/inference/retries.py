"""Asks a server again where that may help."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from w2s.errors import DeadlineExceeded, ResourceExhausted, Unavailable, W2SError

T = TypeVar("T")

# Between four attempts.
_PAUSES_S = (0.1, 0.4, 1.6)


async def retried(ask: Callable[[float], Awaitable[T]], timeout_s: float, on_error: Callable[[str], None]) -> T:
    """What a server answers, asked up to four times while it is busy or away.

    Pauses are 0.1, 0.4 and 1.6 s, less up to half at random, or as long as a busy server asks for.

    Args:
        ask: Asks once; told the seconds that are left.
        timeout_s: Seconds in all.
        on_error: Told each failure's kind, such as `unavailable`.

    Raises:
        DeadlineExceeded: The time is over.
        W2SError: As `ask`, the last time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    for longest in (*_PAUSES_S, None):
        try:
            async with asyncio.timeout_at(deadline):
                return await ask(max(deadline - loop.time(), 0.001))
        except TimeoutError:
            error: W2SError = DeadlineExceeded(f"no answer within {timeout_s:g} s")
        except W2SError as refused:
            error = refused
        on_error(_kind(error))
        pause = _pause(error, longest)
        if pause is None or loop.time() + pause >= deadline:
            raise error
        await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _pause(error: W2SError, longest_s: float | None) -> float | None:
    """Seconds before the next attempt; None where there is none, or it is of no use."""
    if longest_s is None or not isinstance(error, Unavailable | ResourceExhausted):
        return None
    pause = longest_s * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, hides nothing
    return max(pause, error.retry_after_s) if isinstance(error, ResourceExhausted) else pause


def _kind(error: W2SError) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
