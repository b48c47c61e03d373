"""A server with a method of each kind, behind the interceptor, and a caller of it over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from w2s.common.v1 import common_pb2 as pb
from w2s.rpc.interceptors import CallInterceptor

KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def handled(registry):
    """The counts of ended calls so far: by method and code."""

    def count():
        samples = [sample for family in registry.collect() for sample in family.samples]
        found = [sample for sample in samples if sample.name == "grpc_server_handled_total"]
        return {(sample.labels["grpc_method"], sample.labels["grpc_code"]): sample.value for sample in found}

    return count


def methods(act):
    """Methods that answer each request with itself, and `act` once they have read all of them."""

    async def unary_unary(request, context):
        await act()
        return request

    async def unary_stream(request, context):
        yield request
        await act()

    async def stream_unary(requests, context):
        read = [request async for request in requests]
        await act()
        return read[-1]

    async def stream_stream(requests, context):
        async for request in requests:
            yield request
        await act()

    codec = {
        "request_deserializer": pb.DatasetRef.FromString,
        "response_serializer": pb.DatasetRef.SerializeToString,
    }
    return {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(unary_unary, **codec),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(unary_stream, **codec),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(stream_unary, **codec),
        "StreamStream": grpc.stream_stream_rpc_method_handler(stream_stream, **codec),
    }


class Caller:
    """Calls methods by name; a request may be raw bytes."""

    def __init__(self, channel):
        self._channel = channel

    def start(self, kind, *requests, timeout=30.0, ends=True, token=""):
        """A call that has begun; its request stream ends after the requests unless told otherwise."""

        async def stream():
            for request in requests:
                yield request
            if not ends:
                await asyncio.Event().wait()

        kinds = {
            "UnaryUnary": self._channel.unary_unary,
            "UnaryStream": self._channel.unary_stream,
            "StreamUnary": self._channel.stream_unary,
            "StreamStream": self._channel.stream_stream,
        }
        method = kinds[kind](
            f"/w2s.Test/{kind}",
            lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
            pb.DatasetRef.FromString,
        )
        shown = (("authorization", f"Bearer {token}"),) if token else ()
        return method(stream() if kind.startswith("Stream") else requests[0], timeout=timeout, metadata=shown)

    async def __call__(self, kind, *requests, **options):
        """All the answers of a call."""
        call = self.start(kind, *requests, **options)
        return [answer async for answer in call] if kind.endswith("Stream") else [await call]


def in_flight(registry) -> float:
    (family,) = [family for family in registry.collect() if family.name == "grpc_server_in_flight"]
    return sum(sample.value for sample in family.samples)


@pytest.fixture
def serve(registry):
    """Serves one method of each kind that awaits `act`; once left, every call has been counted."""

    @asynccontextmanager
    async def serve(act, handlers=None, access=None) -> AsyncIterator[Caller]:
        server = grpc.aio.server(interceptors=[CallInterceptor(registry, access)])
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("w2s.Test", handlers or methods(act))])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Caller(channel)
            # A caller has its answer before the server has left the call.
            async with asyncio.timeout(10):
                while in_flight(registry):
                    await asyncio.sleep(0)
        await server.stop(None)

    return serve
