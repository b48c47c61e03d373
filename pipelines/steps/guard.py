"""What becomes of a step that fails."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import grpc

from w2s.client import rpc_error
from w2s.client.jobs import JobFailed
from w2s.errors import W2SError

P = ParamSpec("P")
R = TypeVar("R")

SUCCEEDED, FAILED = "succeeded", "failed"

# Refusals that are about the work asked for; any other is about the services, and a retry may mend it.
_REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Ends a failed step with one `ERROR:` line that says why, in place of a stack of callers."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (grpc.RpcError, W2SError) as error:
            print(f"ERROR: {function.__name__}: {_reason(error)}", flush=True)
        sys.exit(1)

    return guarded


def attempt(item: dict[str, Any], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Does an item's work, and says how it ended.

    Returns:
        What the work returned, with the status `succeeded`; of an item that `may_fail`,
        the status `failed` and the reason where its job failed or its service refused it.

    Raises:
        grpc.RpcError, W2SError: The work failed, and the item may not, or a service is gone.
    """
    try:
        return {"status": SUCCEEDED, **work()}
    except (grpc.RpcError, W2SError) as error:
        if not (item["may_fail"] and _is_its_own(error)):
            raise
        print(f"{item['item']}: failed: {_reason(error)}", flush=True)
        return {"status": FAILED, "reason": _reason(error)}


def _is_its_own(error: grpc.RpcError | W2SError) -> bool:
    if isinstance(error, grpc.Call):
        return error.code() in _REFUSALS
    return isinstance(error, JobFailed)


def _reason(error: grpc.RpcError | W2SError) -> str:
    return error.message if isinstance(error, W2SError) else rpc_error(error)
