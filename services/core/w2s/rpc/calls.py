"""A call as those see it who watch over it: what it is, and the code that it ends with."""

from __future__ import annotations

import asyncio
import math
import sys

import grpc
import grpc.aio

from w2s.rpc import Context

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# How a handler ends when nobody waits for its answer: interrupted, or on what it sends.
_GONE = (asyncio.CancelledError, GeneratorExit, grpc.aio.InternalError)
# Seconds and share of its timeout by which a caller may give up before our clock says so. gRPC rounds
# timeouts up on the wire, by 1 % at most, and the deadline counts from when the call arrived.
_EARLY_S, _EARLY = 0.05, 0.01


class Call:
    """A call while it is served; to be made when it begins.

    Args:
        method: Its full name, such as `/w2s.trainer.v1.TrainerService/GetRun`.
        known: Whether the server has that method.
        context: gRPC's side of it.

    Attributes:
        known: As given.
        names: Its service and method, for labels; `other` twice for a method that is not known.
        peer: The caller's address.
        principal: Whose it is, once that is known.
        metadata: What the caller sent beside its request, by lower-case key; texts alone, the last of each.
    """

    def __init__(self, method: str, known: bool, context: Context) -> None:
        self.method = method
        self.context = context
        # A caller chooses what it calls: as labels, such names would grow without end.
        self.names = tuple(method.strip("/").split("/", 1)) if known else ("other", "other")
        # Asked now: gRPC crashes when it is asked about a call whose caller has gone away.
        self.peer = context.peer()
        self.known = known
        self.principal = ""
        self.metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        remaining: float | None = context.time_remaining()
        timeout = math.inf if remaining is None else remaining
        self._deadline = _now() + timeout
        self._early = _EARLY_S + _EARLY * timeout

    def code(self) -> grpc.StatusCode:
        """The code that it ends with; to be asked in a `finally` around it."""
        kind = sys.exc_info()[0]
        if kind and issubclass(kind, _GONE):
            overdue = _now() > self._deadline - self._early
            return grpc.StatusCode.DEADLINE_EXCEEDED if overdue else grpc.StatusCode.CANCELLED
        found = self.context.code() or grpc.StatusCode.OK
        code = _CODES[found] if isinstance(found, int) else found
        # A success that came too late has reached nobody.
        return grpc.StatusCode.DEADLINE_EXCEEDED if not code.value[0] and _now() > self._deadline else code


def _now() -> float:
    return asyncio.get_running_loop().time()
