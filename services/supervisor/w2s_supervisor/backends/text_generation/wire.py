"""The HTTP transport: what is sent with every request, and what is let in."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from w2s_supervisor.backends.text_generation.failures import Refused, Unreadable
from w2s_supervisor.peers import check_connection

# A prefill of 32,768 tokens is about 3 MB.
MAX_BYTES = 32_000_000


class Wire(httpx2.AsyncHTTPTransport):
    """A transport that knows the token, bounds answers and raises on every status but success.

    It stands below all that sends: libraries' own ideas of tokens, proxies, redirects and
    errors never come in.

    Args:
        places: Connections at most.
        token: The bearer token, asked for each request; empty for none.

    Attributes:
        opened: Connections opened so far.
        sent_token: The token that was sent last.
    """

    def __init__(self, places: int, token: Callable[[], str]) -> None:
        limits = httpx2.Limits(max_connections=places, max_keepalive_connections=places)
        super().__init__(verify=_trust(), limits=limits)
        self._token = token
        self.opened = 0
        self.sent_token = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request.

        Raises:
            Refused: The status is not 2xx.
            Unreadable: The answer is compressed, which could hide its size.
            FailedPrecondition: There is no token to be read, or a connection leads where no teacher may be.
        """
        self._authorize(request)
        request.extensions = {**request.extensions, "trace": self._traced}
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)
        try:
            if not response.is_success:
                raise Refused(response.status_code, b"".join([chunk async for chunk in response.stream]))
            if "content-encoding" in response.headers:
                raise Unreadable
        except BaseException:
            await response.aclose()
            raise
        return response

    def _authorize(self, request: httpx2.Request) -> None:
        self.sent_token = self._token()
        request.headers.pop("Authorization", None)
        if self.sent_token:
            request.headers["Authorization"] = f"Bearer {self.sent_token}"

    async def _traced(self, event: str, info: dict[str, Any]) -> None:
        self.opened += event == "connection.connect_tcp.complete"
        await check_connection(event, info)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise Unreadable
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@functools.cache
def _trust() -> ssl.SSLContext:
    # Reading the authorities' certificates takes a good part of a second.
    return httpx2.create_ssl_context(trust_env=False)
