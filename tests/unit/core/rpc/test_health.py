from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.rpc.health import Health

UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def asked(name):
    return health_pb2.HealthCheckRequest(service=name)


@asynccontextmanager
async def served(health):
    """A stub of a server that says what `health` says."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(None)


async def heard(watch):
    return (await asyncio.wait_for(watch.read(), 5)).status


async def test_a_name_is_as_it_was_set_last():
    health = Health()
    async with served(health) as stub:
        for serving, status in ((False, NOT_SERVING), (True, SERVING), (False, NOT_SERVING)):
            await health.set("a", serving)
            assert (await stub.Check(asked("a"))).status == status
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(asked("b"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_hears_of_each_change_and_of_no_other():
    health = Health()
    async with served(health) as stub:
        watch = stub.Watch(asked("a"))
        assert await heard(watch) == UNKNOWN
        for name, serving in (("b", True), ("a", True), ("a", True), ("b", False), ("a", False)):
            await health.set(name, serving)
            # Long enough for the watcher to be told.
            await stub.Check(asked(name))
        assert [await heard(watch), await heard(watch)] == [SERVING, NOT_SERVING]


async def test_a_watcher_that_leaves_does_not_make_others_deaf():
    health = Health()
    async with served(health) as stub:
        stays, leaves = stub.Watch(asked("a")), stub.Watch(asked("a"))
        assert [await heard(stays), await heard(leaves)] == [UNKNOWN, UNKNOWN]
        leaves.cancel()
        # The server has heard of it once it has answered on the same connection.
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(asked("a"))
        await health.set("a", True)
        assert await heard(stays) == SERVING


async def test_shutting_down_is_said_of_all_names_for_good_and_ends_watches():
    health = Health()
    await health.set("a", True)
    await health.set("b", False)
    async with served(health) as stub:
        watch = stub.Watch(asked("a"))
        assert await heard(watch) == SERVING
        health.shut_down()
        assert await heard(watch) == NOT_SERVING
        assert await asyncio.wait_for(watch.read(), 5) is grpc.aio.EOF
        await health.set("a", True)
        assert [(await stub.Check(asked(name))).status for name in "ab"] == [NOT_SERVING] * 2
