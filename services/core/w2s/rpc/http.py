"""HTTP beside gRPC: an application served on the same event loop, and the bodies of its requests."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass

import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from w2s.errors import InvalidArgument, ResourceExhausted, Unauthenticated, W2SError
from w2s.rpc.access import Access, note
from w2s.rpc.roles import Role

# Longer than the idle timeout of common proxies, which else reuse a connection that is just closed.
_KEEP_ALIVE_S = 65
# What proxies log of a caller that has gone without an answer.
_GONE = 499
# By google.rpc.Code. FAILED_PRECONDITION is 412 and not 400: the same request may be right later.
_STATUSES = {1: _GONE, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 412, 14: 503, 16: 401}


@dataclass(frozen=True)
class Guard:
    """Asks for the token that a gRPC call shows, and logs what may change something as that is logged.

    Args:
        access: Decides on calls.
        needed: The least role for a request; None for one that is open to all.
    """

    access: Access
    needed: Callable[[Request], Role | None]


class _Guarded:
    """An application behind a guard."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        needed = self._guard.needed(Request(scope)) if scope["type"] == "http" else None
        if needed is None:
            await self._app(scope, receive, send)
            return
        status, visit = _GONE, _Visit(Request(scope))

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._admitted(visit, needed)(scope, receive, watched)
        finally:
            if needed > Role.READER:
                note(visit.method, visit.principal, visit.peer, status)

    def _admitted(self, visit: _Visit, needed: Role) -> ASGIApp:
        """What answers: the application, or a refusal."""
        try:
            principal = self._guard.access.identify(visit.authorization)
            visit.principal = principal.name
            self._guard.access.permit(principal, needed, visit.peer)
        except W2SError as error:
            return refusal(error)
        return self._app


class _Visit:
    """Who makes a request, and what it is."""

    def __init__(self, request: Request) -> None:
        self.method = f"{request.method} {request.url.path[:256]}"
        self.authorization = request.headers.get("authorization")
        # As gRPC writes it: a machine has one budget over both.
        self.peer = f"ipv4:{request.client.host}:{request.client.port}" if request.client else ""
        self.principal = ""


class _Server(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpListener:
    """Serves an application over HTTP.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port; 0 for a free one.
        field: The setting that names the port.
        guard: Decides on requests; None to let everybody in.
        tls: What connections are secured by; None for plaintext.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        field: str,
        guard: Guard | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._field = host, port, field
        config = uvicorn.Config(
            app if guard is None else _Guarded(app, guard),
            lifespan="off",
            http="httptools",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            ssl_context_factory=None if tls is None else lambda config, default: tls,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Listens.

        Raises:
            InvalidArgument: The port is taken, or the address is none of this machine's.
        """
        try:
            listener = socket.create_server((self._host, self._port))
        except OSError:
            raise InvalidArgument(self._field, f"cannot listen on {self.address}; is it taken?") from None
        self._port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def stop(self, grace_s: float) -> None:
        """Takes no more requests, and gives those in flight so many seconds to end."""
        if self._serving is None:
            return
        # A number of seconds like any other; uvicorn's type has only whole ones.
        self._server.config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]
        self._server.should_exit = True
        await self._serving


async def read_body(request: Request, max_bytes: int) -> bytes:
    """A request's whole body.

    Raises:
        HTTPException: 413: it is larger than `max_bytes`.
    """
    body = bytearray()
    declared = int(request.headers.get("content-length", 0))
    if declared <= max_bytes:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                break
    if max(declared, len(body)) > max_bytes:
        # What is left of it is not read.
        raise HTTPException(413, f"the body is larger than {max_bytes} bytes", {"Connection": "close"})
    return bytes(body)


def refusal(error: W2SError, status: int | None = None) -> Response:
    """What an HTTP caller is told of an error that it would get over gRPC too.

    Args:
        error: The error.
        status: The status, where it is not that of the error's code.
    """
    headers = None
    if isinstance(error, ResourceExhausted):
        headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
    elif isinstance(error, Unauthenticated):
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse({"error": error.message}, status or _STATUSES.get(error.code, 500), headers)
