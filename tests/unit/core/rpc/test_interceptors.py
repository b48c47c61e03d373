from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from w2s.common.v1 import common_pb2 as pb
from w2s.errors import (
    AlreadyExists,
    Cancelled,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from w2s.rpc.interceptors import ErrorInterceptor, LogInterceptor, MetricsInterceptor, check_required
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2

REQUEST = pb.DatasetRef(uri="file:///a")


@pytest.fixture
def registry():
    return CollectorRegistry()


def in_flight(registry) -> float:
    (family,) = [family for family in registry.collect() if family.name == "grpc_server_in_flight"]
    return sum(sample.value for sample in family.samples)


@pytest.fixture
def serve(registry):
    """Serves one unary and one streaming method behind the interceptors, and gives both."""

    @asynccontextmanager
    async def serve(act):
        async def unary(request, context):
            act()
            return request

        async def stream(request, context):
            yield request
            act()

        codec = {
            "request_deserializer": pb.DatasetRef.FromString,
            "response_serializer": pb.DatasetRef.SerializeToString,
        }
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(unary, **codec),
            "Stream": grpc.unary_stream_rpc_method_handler(stream, **codec),
        }
        server = grpc.aio.server(interceptors=[MetricsInterceptor(registry), LogInterceptor(), ErrorInterceptor()])
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("w2s.Test", methods)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            plain = (pb.DatasetRef.SerializeToString, pb.DatasetRef.FromString)
            call, watch = (
                channel.unary_unary("/w2s.Test/Unary", *plain),
                channel.unary_stream("/w2s.Test/Stream", *plain),
            )

            async def read(request):
                return [response async for response in watch(request)]

            yield {"Unary": call, "Stream": read}
            # The caller has its answer before the interceptors have unwound.
            async with asyncio.timeout(10):
                while in_flight(registry):
                    await asyncio.sleep(0)
        await server.stop(None)

    return serve


def failing(error: Exception):
    def act():
        raise error

    return act


@pytest.mark.parametrize("method", ["Unary", "Stream"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument("run.spec", "is wrong"), grpc.StatusCode.INVALID_ARGUMENT),
        (NotFound("gone"), grpc.StatusCode.NOT_FOUND),
        (AlreadyExists("taken"), grpc.StatusCode.ALREADY_EXISTS),
        (ResourceExhausted("full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (FailedPrecondition("first"), grpc.StatusCode.FAILED_PRECONDITION),
        (DataLoss("damaged"), grpc.StatusCode.DATA_LOSS),
        (Unavailable("later"), grpc.StatusCode.UNAVAILABLE),
        (Cancelled("stopped"), grpc.StatusCode.CANCELLED),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_expected_errors_become_their_status(serve, registry, method, error, code):
    async with serve(failing(error)) as methods:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await methods[method](REQUEST)
    assert (caught.value.code(), caught.value.details()) == (code, error.message)
    labels = {"grpc_service": "w2s.Test", "grpc_method": method}
    assert registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": code.name}) == 1


def details(error: grpc.aio.AioRpcError, message):
    """The one google.rpc detail of that type in an error."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    (packed,) = status.details
    assert packed.Unpack(message)
    return message


async def test_an_invalid_argument_names_its_field_for_machines(serve):
    async with serve(failing(InvalidArgument("run.spec.epochs", "must be positive"))) as methods:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await methods["Unary"](REQUEST)
    (violation,) = details(caught.value, error_details_pb2.BadRequest()).field_violations
    assert (violation.field, violation.description) == ("run.spec.epochs", "must be positive")


async def test_an_exhausted_resource_says_when_to_retry(serve):
    async with serve(failing(ResourceExhausted("full", retry_after_s=2.5))) as methods:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await methods["Unary"](REQUEST)
    delay = details(caught.value, error_details_pb2.RetryInfo()).retry_delay
    assert delay.ToTimedelta().total_seconds() == 2.5


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_an_unexpected_error_says_nothing_to_the_caller_and_all_to_the_log(serve, caplog, method):
    async with serve(failing(KeyError("secret"))) as methods:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await methods[method](REQUEST)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value.details())
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "secret" in str(record.exc_info[1])


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_a_request_without_a_required_field_never_reaches_the_method(serve, method):
    reached = []
    async with serve(lambda: reached.append(1)) as methods:
        with pytest.raises(grpc.aio.AioRpcError, match="uri: is required"):
            await methods[method](pb.DatasetRef())
    assert reached == []


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_calls_are_counted_and_logged_without_their_content(serve, registry, caplog, method):
    caplog.set_level(logging.INFO)
    async with serve(lambda: None) as methods:
        assert await methods[method](REQUEST) in (REQUEST, [REQUEST])
    labels = {"grpc_service": "w2s.Test", "grpc_method": method}
    count = registry.get_sample_value
    assert count("grpc_server_started_total", labels) == 1
    assert count("grpc_server_handled_total", {**labels, "grpc_code": "OK"}) == 1
    assert count("grpc_server_handling_seconds_count", labels) == 1
    assert count("grpc_server_in_flight", labels) == 0
    (record,) = [record for record in caplog.records if record.message == "call"]
    assert (record.method, record.code) == (f"/w2s.Test/{method}", "OK")
    assert "file:///a" not in str(vars(record))


def parse(content: dict, message):
    return json_format.ParseDict(content, message)


REF = {"uri": "file:///a"}
EXAMPLE = {"id": "1", "text": "a"}


@pytest.mark.parametrize(
    ("message", "content", "missing"),
    [
        (trainer_pb2.CreateRunRequest, {}, "run"),
        (trainer_pb2.CreateRunRequest, {"run": {}}, "run.spec"),
        (trainer_pb2.CreateRunRequest, {"run": {"spec": {"dataset": REF}}}, "run.spec.model"),
        (trainer_pb2.CreateRunRequest, {"run": {"spec": {"model": {}, "dataset": REF}}}, "run.spec.model.base"),
        (
            trainer_pb2.CreateRunRequest,
            {"run": {"spec": {"model": {"base": REF}, "dataset": REF, "labels": {}}}},
            "run.spec.labels.uri",
        ),
        (supervisor_pb2.LabelRequest, {"examples": []}, "examples"),
        (supervisor_pb2.LabelRequest, {"examples": [EXAMPLE, {"id": "2"}]}, "examples[1].text"),
    ],
)
def test_the_path_of_a_missing_required_field_is_named(message, content, missing):
    with pytest.raises(InvalidArgument) as caught:
        check_required(parse(content, message()))
    assert caught.value.field == missing


@pytest.mark.parametrize(
    ("message", "content"),
    [
        (trainer_pb2.CreateRunRequest, {"run": {"spec": {"model": {"base": REF}, "dataset": REF}}}),
        (supervisor_pb2.LabelRequest, {"examples": [EXAMPLE]}),
        # What the server writes is not the caller's to fill in, at any depth.
        (trainer_pb2.Run, {"spec": {"model": {"base": REF}, "dataset": REF}, "result": {"model": {}}}),
        (pb.Progress, {"metrics": {"loss": 1.0}}),
    ],
)
def test_complete_requests_pass(message, content):
    check_required(parse(content, message()))
