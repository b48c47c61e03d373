"""Server-sent events, and how they go wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from fastapi.responses import Response, StreamingResponse
from support.text_generation.switches import Refused, State, Switches


def stream_ends(switches: Switches, index: int) -> bool:
    """Whether a stream ends before its event of this number, from 1, although it is not done.

    Raises:
        Refused: It is to end with an error.
        ConnectionAbortedError: It is to break off.
    """
    if index <= switches.stream_events:
        return False
    if switches.stream_error:
        raise Refused("told to fail", switches.stream_error)
    if switches.stream_cut == "abort":
        raise ConnectionAbortedError
    return bool(switches.stream_cut)


def sse(
    state: State,
    events: AsyncGenerator[dict[str, Any], None],
    told: Callable[[Refused], dict[str, Any]],
    ending: bytes = b"",
) -> Response:
    """A response that streams events.

    Args:
        state: The server's.
        events: The events.
        told: The event that tells of an error: the status is sent by then.
        ending: What follows the last event.
    """

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            # So that the place is given back now, not when the garbage is collected.
            async with contextlib.aclosing(events):
                async for event in events:
                    if state.switches.keep_alive:
                        yield b":keep-alive\n\n"
                    yield f"data:{json.dumps(event)}\n\n".encode()
        except Refused as error:
            yield f"data:{json.dumps(told(error))}\n\n".encode()
        if ending:
            yield ending

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
