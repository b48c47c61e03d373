"""A TCP proxy between two processes, which fails as networks do.

    with proxied("127.0.0.1:50051") as network:
        network.set("drop")             # nothing comes through, and nobody is told
        network.set("pass")             # what was held up goes on
        network.break_after(100)        # the next 100 bytes of answers are the last of their connection

Faults that last are modes; see `Mode`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Literal

# `drop` holds everything up; `refuse` lets nobody in and breaks what is open; `delay` takes `DELAY_S` for each piece.
Mode = Literal["pass", "drop", "refuse", "delay"]
DELAY_S = 0.3
_PIECE = 1 << 16
_LINGER = struct.pack("ii", 1, 0)


class Network:
    """The proxy's faults, to be set from any thread.

    Attributes:
        target: Where it listens, `127.0.0.1:PORT`.
        connections: How many there have been.
        broken: Connections that were broken on purpose.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._mode: Mode = "pass"
        self._left: int | None = None
        self._reset = False
        self._open: set[asyncio.StreamWriter] = set()
        self._moved = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.target, self.connections, self.broken = "", 0, 0

    def start(self) -> None:
        """Listens on a free port."""
        self._thread.start()
        self._do(self._listen(0))

    def stop(self) -> None:
        """Breaks what is open and lets the port go."""
        self._do(self._refuse())
        self._do(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def set(self, mode: Mode) -> None:
        """Changes how the network is from now on, for the connections that are open, too."""
        self._do(self._set(mode))

    def break_after(self, count: int, *, reset: bool = False) -> None:
        """Lets so many more bytes of answers through, and then breaks the connection they are on; the next are whole.

        Args:
            count: Bytes.
            reset: End it by a reset, as a host does that is gone, and not in order.
        """
        self._do(self._break_after(count, reset))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.target = "{}:{}".format(*self._server.sockets[0].getsockname())

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            _abort(writer)

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "refuse":
            await self._refuse()
        elif self._server is None:
            await self._listen(int(self.target.rpartition(":")[2]))
        self._moved.set()
        self._moved = asyncio.Event()

    async def _break_after(self, count: int, reset: bool) -> None:
        self._left, self._reset = count, reset

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            _abort(writer)
            return
        ends = {writer, back}
        self._open |= ends
        pumps = [
            asyncio.ensure_future(self._pump(reader, back)),
            asyncio.ensure_future(self._pump(there, writer, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._open -= ends
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool = False) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(_PIECE):
                await self._held_up()
                whole = not answers or self._left is None or len(piece) < self._left
                writer.write(piece if whole else piece[: self._left])
                await writer.drain()
                if not whole:
                    self._break(writer)
                    return
                if answers and self._left is not None:
                    self._left -= len(piece)

    def _break(self, writer: asyncio.StreamWriter) -> None:
        self._left, self.broken = None, self.broken + 1
        if self._reset:
            _abort(writer)

    async def _held_up(self) -> None:
        if self._mode == "delay":
            await asyncio.sleep(DELAY_S)
        while self._mode == "drop":
            await self._moved.wait()


@contextlib.contextmanager
def proxied(target: str) -> Iterator[Network]:
    """A proxy before a server at `HOST:PORT`, for a block."""
    network = Network(target)
    network.start()
    try:
        yield network
    finally:
        network.stop()


def _abort(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()
