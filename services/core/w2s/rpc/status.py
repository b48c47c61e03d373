"""Errors as google.rpc statuses: the same in a failed call and in a response's rows."""

from __future__ import annotations

from typing import NoReturn

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from w2s.errors import InvalidArgument, ResourceExhausted, W2SError
from w2s.rpc import Context

# gRPC drops a failed call's metadata above 8 KiB and the status with it; a message is there twice, escaped.
_MAX_BYTES = 1024


def status_of(error: W2SError) -> status_pb2.Status:
    """An error as a status, with the details that its kind has: BadRequest or RetryInfo.

    Texts are cut after 1 KiB of UTF-8.
    """
    status = status_pb2.Status(code=error.code, message=_cut(error.message))
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: Context, error: W2SError) -> NoReturn:
    """Ends a call with an error's status; raises grpc.aio.AbortError."""
    await context.abort_with_status(rpc_status.to_status(status_of(error)))


def _details(error: W2SError) -> list[Message]:
    if isinstance(error, InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(error.field), description=_cut(error.problem)
        )
        return [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, ResourceExhausted):
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []


def _cut(text: str) -> str:
    # Paths of files may hold what is no text: protobuf takes only what UTF-8 can say.
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= _MAX_BYTES else data[:_MAX_BYTES].decode("utf-8", "ignore") + "…"
