"""Server interceptors: metrics, one log line a call, and errors as statuses."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.api import field_behavior_pb2
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from w2s.errors import InvalidArgument, ResourceExhausted, W2SError
from w2s.rpc import Context

log = logging.getLogger(__name__)

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_QUIET = "/grpc."


class _Around(grpc.aio.ServerInterceptor):
    """Runs unary-unary and unary-stream handlers inside an async context manager."""

    def around(self, method: str, request: Message, context: Context) -> AbstractAsyncContextManager[None]:
        """What the call runs inside; it may look at exceptions and raise others."""
        raise NotImplementedError

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Wraps the handler of a call; see `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.request_streaming:
            return handler
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if not handler.response_streaming:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), **codec)
        inner = handler.unary_stream
        # The health service writes to the context; ours yield.
        wrapped: Any = (self._stream if inspect.isasyncgenfunction(inner) else self._unary)(method, inner)
        return grpc.unary_stream_rpc_method_handler(wrapped, **codec)

    def _unary(self, method: str, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def unary(request: Message, context: Context) -> Any:
            async with self.around(method, request, context):
                return await inner(request, context)

        return unary

    def _stream(self, method: str, inner: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def stream(request: Message, context: Context) -> AsyncIterator[Any]:
            async with self.around(method, request, context):
                async for response in inner(request, context):
                    yield response

        return stream


class MetricsInterceptor(_Around):
    """Counts calls and times them, under the names that stock gRPC dashboards know.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "Calls begun", names, registry=registry)
        self._handled = Counter("grpc_server_handled", "Calls ended", (*names, "grpc_code"), registry=registry)
        self._seconds = Histogram(
            "grpc_server_handling_seconds", "Call durations", names, registry=registry, buckets=_LATENCY_BUCKETS
        )
        self._in_flight = Gauge("grpc_server_in_flight", "Calls in flight", names, registry=registry)

    @contextlib.asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Counts and times the call."""
        names = tuple(method.strip("/").split("/", 1))
        self._started.labels(*names).inc()
        start = time.perf_counter()
        with self._in_flight.labels(*names).track_inprogress():
            try:
                yield
            finally:
                self._seconds.labels(*names).observe(time.perf_counter() - start)
                self._handled.labels(*names, _outcome(context).name).inc()


class LogInterceptor(_Around):
    """Logs one line for each call: method, code and duration; never its content."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Logs the call once it has ended."""
        # Asked now: gRPC crashes when it is asked about a call whose caller has gone away.
        start, peer = time.perf_counter(), context.peer()
        try:
            yield
        finally:
            facts = {
                "method": method,
                "code": _outcome(context).name,
                "seconds": round(time.perf_counter() - start, 4),
                "peer": peer,
            }
            log.log(logging.DEBUG if method.startswith(_QUIET) else logging.INFO, "call", extra=facts)


class ErrorInterceptor(_Around):
    """Checks required fields, and turns errors into statuses with google.rpc details."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Checks the request, and ends the call with a status where it fails."""
        try:
            check_required(request)
            yield
        except W2SError as error:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("call failed", extra={"method": method})
            await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log says more")


def check_required(message: Message, path: str = "") -> None:
    """Checks that every field the protos call REQUIRED is set, however deep.

    Raises:
        InvalidArgument: One is not; the field's path is named.
    """
    for field in message.DESCRIPTOR.fields:
        name = f"{path}{field.name}"
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviors:
            continue
        value = getattr(message, field.name)
        present = message.HasField(field.name) if field.has_presence else bool(value)
        if field_behavior_pb2.REQUIRED in behaviors and not present:
            raise InvalidArgument(name, "is required")
        if field.message_type is None or not present or field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            for index, item in enumerate(value):
                check_required(item, f"{name}[{index}].")
        else:
            check_required(value, f"{name}.")


async def _abort(context: Context, error: W2SError) -> NoReturn:
    details: list[Message] = []
    if isinstance(error, InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.problem)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, ResourceExhausted):
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    status = status_pb2.Status(code=error.code, message=error.message, details=packed)
    await context.abort(
        _CODES[error.code],
        error.message,
        trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),),
    )
    raise AssertionError("abort raises")


def _outcome(context: Context) -> grpc.StatusCode:
    """The code of a call that is just ending; to be asked in a `finally`."""
    kind = sys.exc_info()[0]
    # The context does not say so yet when the caller has gone away.
    if context.cancelled() or (kind and issubclass(kind, asyncio.CancelledError | GeneratorExit)):
        return grpc.StatusCode.CANCELLED
    code = context.code()
    return _CODES[code] if isinstance(code, int) else code or grpc.StatusCode.OK
