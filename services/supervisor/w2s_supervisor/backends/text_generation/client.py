"""Requests to one server: bounded in number and time, retried where that is right."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from w2s.errors import W2SError
from w2s.models.inputs import FinishReason
from w2s_supervisor.backends.text_generation.failures import CutOff, Failure, Kind, RowError, diagnose, midway
from w2s_supervisor.backends.text_generation.wire import Wire

T = TypeVar("T")

# Before attempt k + 1: uniform in [0, 0.5 * 2^(k-1)] s ("full jitter").
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """Some more of a continuation, as a server streams it.

    Attributes:
        text: What follows the text before.
        tokens: Tokens that it has, >= 0.
        finish: Why it ends here; None when it goes on.
    """

    text: str
    tokens: int
    finish: FinishReason | None = None


# Takes an event, and says whether it wants the next.
Give = Callable[[Event], Awaitable[bool]]
Begin = Callable[[], contextlib.AbstractAsyncContextManager[AsyncIterator[Event]]]


class Client:
    """Speaks HTTP with one server, over connections that it keeps.

    Args:
        url: The server's address, without a trailing slash.
        places: Requests in flight at once; those that ask who the server is come on top.
        timeout_s: Seconds one request may take with all its attempts, counted from its first.
        token: The bearer token, asked for each request; empty for none.
        on_error: Told the kind of each attempt that fails.
        rng: Where the pauses' jitter is from.

    Attributes:
        url: As given.
        host: The address's host and port, for messages.
        http: The client for libraries that send by themselves.
    """

    def __init__(
        self,
        url: str,
        places: int,
        timeout_s: float,
        token: Callable[[], str],
        on_error: Callable[[Kind], None],
        rng: random.Random,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        self._places = asyncio.Semaphore(places)
        self._timeout_s = timeout_s
        self._on_error = on_error
        self._rng = rng
        self._wire = Wire(places + 1, token)
        self.http = httpx2.AsyncClient(
            transport=self._wire,
            headers={"Accept-Encoding": "identity"},
            timeout=None,
            trust_env=False,
        )

    @property
    def opened(self) -> int:
        """Connections opened so far."""
        return self._wire.opened

    async def get(self, route: str, read: Callable[[httpx2.Response], T]) -> T:
        """Asks beside the places for requests, so that a stream can be interrupted by it.

        Args:
            route: What follows the address.
            read: Takes the answer apart; a ValueError or LookupError of its says it is unreadable.

        Raises:
            RowError: The server refuses this request or fails at it.
            ResourceExhausted, Unavailable, DeadlineExceeded: It is overloaded or does not answer.
            FailedPrecondition: It refuses the credential or redirects; Lacks when there is no such route.
        """

        async def attempt() -> T:
            return read(await self.http.get(self.url + route))

        return await self._persist(attempt, "", contextlib.nullcontext())

    async def post(self, route: str, body: dict[str, Any], read: Callable[[httpx2.Response], T], text: str) -> T:
        """Sends JSON once there is a place; raises as `get`.

        Args:
            route: What follows the address.
            body: The JSON.
            read: As in `get`.
            text: The part of the body that no error message may quote.
        """

        async def attempt() -> T:
            return read(await self.http.post(self.url + route, json=body))

        return await self.ask(attempt, text)

    async def ask(self, attempt: Callable[[], Awaitable[T]], text: str) -> T:
        """Makes a request through a library, by way of `http`, once there is a place; raises as `get`.

        Args:
            attempt: Sends the request and reads the answer.
            text: As in `post`.
        """
        return await self._persist(attempt, text, self._places)

    async def stream(self, begin: Begin, give: Give, text: str) -> None:
        """Gives out a stream's events; raises as `get`, and retries only before the first event.

        Args:
            begin: Sends the request and holds its events open.
            give: Takes the events; the stream is closed once it wants no more.
            text: The part of the request that no error message may quote.
        """
        begun = False

        async def attempt() -> None:
            nonlocal begun
            async with begin() as events:
                async for event in events:
                    begun = True
                    if not await give(event) or event.finish is not None:
                        return
            raise CutOff

        await self._persist(attempt, text, self._places, lambda: begun)

    async def close(self) -> None:
        """Closes the connections."""
        await self.http.aclose()

    async def _persist(
        self,
        attempt: Callable[[], Awaitable[T]],
        text: str,
        place: contextlib.AbstractAsyncContextManager[None],
        begun: Callable[[], bool] = lambda: False,
    ) -> T:
        clock = asyncio.get_running_loop().time
        deadline, tried = None, 0
        while True:
            tried += 1
            async with place:
                deadline = deadline or clock() + self._timeout_s
                try:
                    async with asyncio.timeout_at(deadline):
                        return await attempt()
                except (W2SError, RowError):
                    raise
                except Exception as error:  # libraries raise what they like on an answer they cannot read
                    failure = self._failed(error, text, begun())
            pause = self._rng.uniform(0, _PAUSE_S * 2 ** (tried - 1))
            if tried >= failure.tries or clock() + pause >= deadline:
                raise failure.error
            await asyncio.sleep(pause)

    def _failed(self, error: Exception, text: str, begun: bool) -> Failure:
        failure = diagnose(error, self.host, (text, self._wire.sent_token))
        self._on_error(failure.kind)
        return midway(failure, self.host) if begun else failure
