"""What every call runs inside: it is counted, logged and answered, and its requests are checked."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.rpc import Context
from w2s.rpc.access import Access, audited
from w2s.rpc.calls import Call
from w2s.rpc.decoding import decoder
from w2s.rpc.failures import answered
from w2s.rpc.logs import logged
from w2s.rpc.metrics import CallMetrics
from w2s.rpc.requests import CheckedRequests, checked

# By whether requests and responses are streams.
_HANDLERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of every service, of all four kinds.

    Methods read their requests from what they are given, never from the context.

    Args:
        registry: Where the metrics of calls are.
        access: Decides who may call; None to let everybody in.
    """

    def __init__(self, registry: CollectorRegistry, access: Access | None = None) -> None:
        self._metrics = CallMetrics(registry)
        self._access = access or Access()

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """The handler of a call, wrapped; see `grpc.aio.ServerInterceptor`."""
        found = await continuation(handler_call_details)
        handler = found or grpc.stream_unary_rpc_method_handler(_unknown)
        wrap = _HANDLERS[handler.request_streaming, handler.response_streaming]
        return wrap(
            self._wrapped(handler, handler_call_details.method, known=found is not None),
            request_deserializer=decoder(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _wrapped(self, handler: Any, method: str, *, known: bool) -> Callable[[Any, Context], Awaitable[Any]]:
        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        run = _write if inspect.isasyncgenfunction(inner) else _run

        async def serve(request: Any, context: Context) -> Any:
            call = Call(method, known, context)
            async with self._metrics.around(call), logged(call), audited(call), answered(call):
                self._access.check(call)
                count = partial(self._access.count, call)
                read = CheckedRequests(request, count) if handler.request_streaming else checked(request)
                return await run(inner, read, context)

        return serve


async def _run(inner: Callable[..., Awaitable[Any]], request: Any, context: Context) -> Any:
    return await inner(request, context)


async def _write(inner: Callable[..., AsyncGenerator[Any]], request: Any, context: Context) -> None:
    # Written here and not by gRPC, which would leave a generator hanging when the caller goes away.
    async with contextlib.aclosing(inner(request, context)) as responses:
        async for response in responses:
            await context.write(response)


async def _unknown(requests: Any, context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the server has no such method")
