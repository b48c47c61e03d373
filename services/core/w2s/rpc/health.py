"""What a server says of its health, in the standard protocol (grpc.health.v1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.rpc import Context

_Request, _Response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Serves the health of names; the empty name stands for the whole server.

    Not grpc_health's own servicer: there a watcher that leaves makes the others of its name
    deaf (grpc/grpc#43403), and one that watches on holds up the server's end.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._shut_down = False

    async def set(self, name: str, serving: bool) -> None:
        """Says SERVING or NOT_SERVING of a name from now on; without effect after `shut_down`."""
        if not self._shut_down:
            self._statuses[name] = _Response.SERVING if serving else _Response.NOT_SERVING
            self._tell()

    def serving(self, name: str) -> bool:
        """Whether it says SERVING of a name; may be asked from any thread."""
        return self._statuses.get(name) == _Response.SERVING

    def shut_down(self) -> None:
        """Says NOT_SERVING of every name for good, and ends all watches."""
        self._statuses = dict.fromkeys(self._statuses, _Response.NOT_SERVING)
        self._shut_down = True
        self._tell()

    async def Check(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of a name; NOT_FOUND for one that was never set."""
        if request.service not in self._statuses:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return _Response(status=self._statuses[request.service])

    async def Watch(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status of a name, and each that it changes to; SERVICE_UNKNOWN for one that was never set."""
        last: int | None = None
        while True:
            changed, ending = self._changed, self._shut_down
            status = self._statuses.get(request.service, _Response.SERVICE_UNKNOWN)
            if status != last:
                yield _Response(status=status)
            if ending:
                return
            last = status
            await changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
