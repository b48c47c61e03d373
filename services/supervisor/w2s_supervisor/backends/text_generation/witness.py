"""Knows that a server still serves the model that the teacher is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from w2s.errors import FailedPrecondition, NotFound
from w2s_supervisor.backends.text_generation.client import Client
from w2s_supervisor.backends.text_generation.server import Facts, TextServer

_TRUSTED_S = 10.0


class Witness:
    """Asks a server who it is, again and again.

    What was asked less than 10 s ago is believed as long as no connection was opened since: a
    server that is started anew with another model has none of its connections left, while one
    behind a proxy is found out by the clock.

    Args:
        server: The server.
        client: Its connections.
        facts: What it said when the teacher was made.
        clock: Seconds that only grow.
    """

    def __init__(self, server: TextServer, client: Client, facts: Facts, clock: Callable[[], float]) -> None:
        self._server = server
        self._client = client
        self._facts = facts
        self._clock = clock
        self._lock = asyncio.Lock()
        self._believed_until = float("-inf")
        self._opened = 0

    async def confirm(self) -> None:
        """Returns once the server is known to be the one it was.

        Before an answer is asked for, it saves asking; after, what the answer is worth depends on it.

        Raises:
            FailedPrecondition: It serves another model.
            W2SError: As `Client.get`.
        """
        async with self._lock:
            if self._clock() < self._believed_until and self._opened == self._client.opened:
                return
            # Counted before: of a connection that is opened meanwhile nothing is known.
            opened = self._client.opened
            now = await self._who()
            if now != self._facts.said:
                raise FailedPrecondition(
                    f"{self._server.host} serves another model than {self._facts.name}, which this teacher is; "
                    "register the other as a teacher of its own"
                )
            self._opened, self._believed_until = opened, self._clock() + _TRUSTED_S

    async def _who(self) -> dict[str, str | int | None] | None:
        try:
            return (await self._server.who()).said
        except NotFound:
            return None
