"""Follows long jobs to their end, over broken connections and restarted servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from w2s.common.v1 import common_pb2 as pb
from w2s.errors import Cancelled, Unreachable, W2SError

_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_MAX_DELAY_S = 10.0


class JobFailed(W2SError):
    """The job ended by an error of its own."""

    code = 2


def follow(
    watch: Callable[..., Iterable[pb.JobEvent]],
    request: Any,
    on_event: Callable[[pb.JobEvent], None] = lambda event: None,
    patience_s: float = 120.0,
) -> None:
    """Watches a job until it has succeeded.

    Args:
        watch: The stub's watch method, such as `TrainerServiceStub(channel).WatchRun`.
        request: Its request; `after_sequence` is kept up here.
        on_event: Called with each event, once.
        patience_s: Seconds without a server before giving up.

    Raises:
        JobFailed: The job failed; the message is its own.
        Cancelled: The job was cancelled.
        Unreachable: No server could be reached for `patience_s`.
        grpc.RpcError: The call itself is wrong.
    """
    delay, lost_since, last = 0.2, None, pb.JobEvent()
    while True:
        try:
            for last in watch(request, timeout=3600):
                delay, lost_since = 0.2, None
                request.after_sequence = last.sequence
                on_event(last)
            # The stream ends with the job. An end that events follow was that of an earlier attempt.
            return _check(last)
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() not in _LOST:
                raise
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > patience_s:
                raise Unreachable(f"no server for {patience_s:.0f} s: {error.details()}") from error
        time.sleep(delay)
        delay = min(delay * 2, _MAX_DELAY_S)


def _check(last: pb.JobEvent) -> None:
    if last.state == pb.JOB_STATE_FAILED:
        raise JobFailed(last.error.message)
    if last.state == pb.JOB_STATE_CANCELLED:
        raise Cancelled("the job was cancelled")
