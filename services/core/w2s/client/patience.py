"""Asks again while a service is busy or away, and says in our errors why it gave up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import grpc

from w2s.client.channel import rpc_error
from w2s.errors import FailedPrecondition, Unavailable, W2SError

T = TypeVar("T")

# A channel waits for a server that is away, so that a call into nowhere ends by its deadline.
_PASSING = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def patiently(
    ask: Callable[[], T],
    *,
    patience_s: float,
    first_delay_s: float,
    max_delay_s: float,
    check: Callable[[], None] = lambda: None,
) -> T:
    """What a call gives, once the channel's own retries have failed too.

    Args:
        ask: The call; it may be made again, also where the server has answered too late.
        patience_s: Seconds after which no other is begun.
        first_delay_s: Seconds before the second call; they double from one to the next.
        max_delay_s: Where they stop doubling.
        check: Called before each; may raise to stop the work.

    Raises:
        grpc.RpcError: The service refuses for another reason, or patience is over.
    """
    until, delay = time.monotonic() + patience_s, first_delay_s
    while True:
        check()
        try:
            return ask()
        except grpc.RpcError as error:
            if _code(error) not in _PASSING or time.monotonic() + delay > until:
                raise
        time.sleep(delay)
        delay = min(2 * delay, max_delay_s)


def refusal(error: grpc.RpcError, service: str) -> W2SError:
    """What a service answered, as our error: Unavailable where to ask again could help, else FailedPrecondition."""
    kind = Unavailable if _code(error) in _PASSING else FailedPrecondition
    return kind(f"the {service} answered {rpc_error(error)}")


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.Call) else None
