"""Lets a call in: who makes it, whether it may, and how often."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator

from w2s.errors import PermissionDenied, ResourceExhausted, Unauthenticated
from w2s.rpc.calls import Call
from w2s.rpc.roles import Role, role_for
from w2s.rpc.settings import ServerSettings
from w2s.rpc.tokens import Principal, Tokens

audit = logging.getLogger("w2s.audit")

# Without tokens, whoever reaches the port may do everything.
_ANYBODY = Principal("anybody", Role.ADMIN)
# Callers whose budget is remembered.
_REMEMBERED = 10_000


class Access:
    """Decides on calls.

    Args:
        tokens: The tokens that are taken; None to take every caller for an admin.
        calls_per_s: Calls a second that a principal may make, with a burst of as many; 0 for no limit.
    """

    def __init__(self, tokens: Tokens | None = None, calls_per_s: float = 0.0) -> None:
        self._tokens = tokens
        self._budget = Budget(calls_per_s) if calls_per_s else None

    def check(self, call: Call) -> None:
        """Lets a call in, and notes whose it is.

        Raises:
            Unauthenticated: It shows no token that is taken.
            PermissionDenied: Its role is too low.
            ResourceExhausted: Its principal makes too many calls.
        """
        needed = role_for(call.method) if call.known else None
        if needed is not None:
            principal = self.identify(call.metadata.get("authorization"))
            call.principal = principal.name
            self.permit(principal, needed, call.peer)

    def count(self, call: Call) -> None:
        """Counts a further message of a call that was let in as another call.

        Raises:
            ResourceExhausted: Its principal makes too many.
        """
        self._spend(call.principal, call.peer)

    def identify(self, authorization: str | None) -> Principal:
        """Who shows `Bearer TOKEN`.

        Raises:
            Unauthenticated: Nobody who is known.
        """
        found = _ANYBODY if self._tokens is None else self._tokens.principal(authorization)
        if found is None:
            raise Unauthenticated("show a token of this server's: authorization: Bearer TOKEN")
        return found

    def permit(self, principal: Principal, needed: Role, peer: str) -> None:
        """Lets a principal make a call, which counts though its role is too low.

        Args:
            principal: Who makes it.
            needed: The least role that may.
            peer: Where it comes from, `ipv4:ADDRESS:PORT`: whose limit it is where there are no tokens.

        Raises:
            PermissionDenied, ResourceExhausted: As `check`.
        """
        self._spend(principal.name, peer)
        if principal.role < needed:
            role = principal.role.name.lower()
            raise PermissionDenied(f"{principal.name} is {role}, and this needs {needed.name.lower()}")

    def _spend(self, name: str, peer: str) -> None:
        if self._budget:
            self._budget.spend(name if self._tokens else peer.rpartition(":")[0])


@contextlib.asynccontextmanager
async def audited(call: Call) -> AsyncIterator[None]:
    """Logs a call that may change something once it has ended, and how, whoever tried."""
    try:
        yield
    finally:
        needed = role_for(call.method) if call.known else None
        if needed is not None and needed > Role.READER:
            note(call.method, call.principal, call.peer, call.code().name)


def note(method: str, principal: str, peer: str, code: str | int) -> None:
    """Logs a call that may change something: what, who, from where, and the code that it ended with."""
    audit.info("changing call", extra={"method": method, "principal": principal, "peer": peer, "code": code})


def access_of(settings: ServerSettings) -> Access:
    """Who may call a server, as its settings say.

    Raises:
        InvalidArgument: The file of tokens cannot be read, or holds a wrong line.
    """
    tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
    return Access(tokens, settings.max_calls_per_s)


class Budget:
    """A bucket of calls for each name, which fills up again with time.

    Args:
        calls_per_s: How fast, and how many it holds, at least one.
    """

    def __init__(self, calls_per_s: float) -> None:
        self._rate, self._size = calls_per_s, max(1.0, calls_per_s)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, name: str) -> None:
        """Takes a call out of a name's bucket.

        Raises:
            ResourceExhausted: It is empty; says when it will not be.
        """
        now = time.monotonic()
        left, then = self._left.pop(name, (self._size, now))
        left = min(self._size, left + (now - then) * self._rate)
        allowed = left >= 1
        self._left[name] = (left - 1 if allowed else left, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        if not allowed:
            raise ResourceExhausted(f"{name} makes more than {self._rate:g} calls a second", (1 - left) / self._rate)
