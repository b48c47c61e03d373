from __future__ import annotations

import asyncio
import errno
import logging
import time

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from w2s.common.v1 import common_pb2 as pb
from w2s.errors import (
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from w2s.rpc.access import Access
from w2s.rpc.status import status_of
from w2s.rpc.tokens import Tokens
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc

REQUEST = pb.DatasetRef(uri="file:///a")
CODEC = {"request_deserializer": pb.DatasetRef.FromString, "response_serializer": pb.DatasetRef.SerializeToString}


async def nothing():
    pass


def failing(error: BaseException):
    async def act():
        raise error

    return act


async def forever():
    await asyncio.Event().wait()


async def refusal(answers) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers
    return caught.value


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument("run.spec", "is wrong"), grpc.StatusCode.INVALID_ARGUMENT),
        (DeadlineExceeded("late"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (NotFound("gone"), grpc.StatusCode.NOT_FOUND),
        (AlreadyExists("taken"), grpc.StatusCode.ALREADY_EXISTS),
        (ResourceExhausted("full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (FailedPrecondition("first"), grpc.StatusCode.FAILED_PRECONDITION),
        (Internal("broken"), grpc.StatusCode.INTERNAL),
        (DataLoss("damaged"), grpc.StatusCode.DATA_LOSS),
        (Unavailable("later"), grpc.StatusCode.UNAVAILABLE),
        (Cancelled("stopped"), grpc.StatusCode.CANCELLED),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_expected_errors_become_their_status(serve, handled, kind, error, code):
    async with serve(failing(error)) as caller:
        refused = await refusal(caller(kind, REQUEST))
    assert (refused.code(), refused.details()) == (code, error.message)
    assert rpc_status.from_call(sync(refused)) == status_of(error)
    assert handled() == {(kind, code.name): 1}


def sync(error: grpc.aio.AioRpcError):
    """What `rpc_status` takes for a call."""

    class Ended:
        code, details, trailing_metadata = error.code, error.details, lambda self: tuple(error.trailing_metadata())

    return Ended()


async def test_a_full_disk_is_the_callers_to_know_and_the_logs(serve, caplog):
    async with serve(failing(OSError(errno.ENOSPC, "No space left on device", "/data/labels"))) as caller:
        refused = await refusal(caller("UnaryUnary", REQUEST))
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.details() == "no space left on the device while writing /data/labels"
    assert [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 100_000], ids=["latin", "han"])
async def test_a_long_message_still_reaches_the_caller(serve, text):
    # gRPC refuses metadata above 8 KiB, and with it the status. This is all that a status may hold at once.
    async with serve(failing(InvalidArgument(text, text))) as caller:
        refused = await refusal(caller("UnaryUnary", REQUEST))
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.details().startswith(text[:300])


@pytest.mark.parametrize(
    "error", [KeyError("secret"), asyncio.CancelledError("secret")], ids=lambda e: type(e).__name__
)
async def test_an_unexpected_error_says_nothing_to_the_caller_and_all_to_the_log(serve, handled, caplog, kind, error):
    async with serve(failing(error)) as caller:
        refused = await refusal(caller(kind, REQUEST))
    assert refused.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(refused.details())
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "secret" in str(record.exc_info[1])
    assert handled() == {(kind, "INTERNAL"): 1}


@pytest.mark.parametrize(
    ("request_", "field", "problem"),
    [
        (pb.DatasetRef(), "uri", "is required"),
        (b"\x0a\x02\xff\xff", "uri", "is not valid UTF-8"),
        (b"\x0a\x05a", "request", "is not a valid w2s.common.v1.DatasetRef"),
    ],
    ids=["incomplete", "no UTF-8", "cut off"],
)
async def test_a_wrong_request_never_reaches_the_method(serve, handled, kind, request_, field, problem):
    reached = []

    async def act():
        reached.append(1)

    async with serve(act) as caller:
        refused = await refusal(caller(kind, request_))
    assert reached == []
    assert handled() == {(kind, "INVALID_ARGUMENT"): 1}
    (detail,) = rpc_status.from_call(sync(refused)).details
    found = error_details_pb2.BadRequest()
    assert detail.Unpack(found)
    assert [(v.field, v.description) for v in found.field_violations] == [(field, problem)]


@pytest.mark.parametrize("wrong", [pb.DatasetRef(), b"\x0a\x01\xff"], ids=["incomplete", "no UTF-8"])
async def test_a_stream_is_answered_up_to_its_wrong_request(serve, wrong):
    async with serve(nothing) as caller:
        call = caller.start("StreamStream", REQUEST, wrong, REQUEST)
        assert await call.read() == REQUEST
        refused = await refusal(call.read())
    assert (refused.code(), refused.details()[:8]) == (grpc.StatusCode.INVALID_ARGUMENT, "uri: is ")


async def test_calls_are_counted_and_logged_without_their_content(serve, registry, handled, caplog, kind):
    caplog.set_level(logging.INFO)
    async with serve(nothing) as caller:
        assert await caller(kind, REQUEST) == [REQUEST]
    labels = {"grpc_service": "w2s.Test", "grpc_method": kind}
    assert handled() == {(kind, "OK"): 1}
    assert registry.get_sample_value("grpc_server_started_total", labels) == 1
    assert registry.get_sample_value("grpc_server_handling_seconds_count", labels) == 1
    assert registry.get_sample_value("grpc_server_in_flight", labels) == 0
    (record,) = [record for record in caplog.records if record.message == "call"]
    assert (record.method, record.code, record.peer[:15]) == (f"/w2s.Test/{kind}", "OK", "ipv4:127.0.0.1:")
    assert "file:///a" not in str(vars(record))


async def test_a_call_past_its_deadline_is_counted_and_logged_so(serve, handled, caplog, kind):
    caplog.set_level(logging.INFO)
    async with serve(forever) as caller:
        refused = await refusal(caller(kind, REQUEST, timeout=0.2))
    assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert handled() == {(kind, "DEADLINE_EXCEEDED"): 1}
    assert [record.code for record in caplog.records if record.message == "call"] == ["DEADLINE_EXCEEDED"]


async def test_a_success_that_comes_too_late_is_counted_as_such(serve, handled, kind):
    async def act():
        # Holds up the loop, so that gRPC cannot interrupt the call.
        time.sleep(0.3)

    async with serve(act) as caller:
        refused = await refusal(caller(kind, REQUEST, timeout=0.2))
    assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert handled() == {(kind, "DEADLINE_EXCEEDED"): 1}


async def test_a_refusal_that_comes_too_late_is_counted_as_late(serve, handled, kind):
    async def act():
        time.sleep(0.3)
        raise NotFound("gone")

    async with serve(act) as caller:
        refused = await refusal(caller(kind, REQUEST, timeout=0.2))
    assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert handled() == {(kind, "DEADLINE_EXCEEDED"): 1}


async def test_an_answer_that_nobody_takes_is_no_failure_of_the_server(serve, handled, caplog, kind):
    # What sending fails with, when it comes upon the caller's leave before gRPC has told of it.
    async with serve(failing(grpc.aio.InternalError("Failed execute_batch"))) as caller:
        await refusal(caller(kind, REQUEST))
    assert handled() == {(kind, "CANCELLED"): 1}
    assert [record for record in caplog.records if record.name == "w2s.rpc.failures"] == []


@pytest.mark.parametrize("ends", [True, False], ids=["all sent", "midway"])
@pytest.mark.parametrize("timeout", [None, 30.0])
async def test_a_call_that_its_caller_cancels_is_counted_so(serve, handled, kind, ends, timeout):
    reached = asyncio.Event()

    async def act():
        reached.set()
        await forever()

    async with serve(act) as caller:
        call = caller.start(kind, REQUEST, timeout=timeout, ends=ends)
        if kind == "StreamStream" and not ends:
            await call.read()
        elif kind == "StreamUnary" and not ends:
            await asyncio.sleep(0.1)
        else:
            await reached.wait()
        call.cancel()
    assert handled() == {(kind, "CANCELLED"): 1}


async def test_a_stream_that_its_caller_leaves_is_closed_and_counted_as_cancelled(serve, handled):
    closed = []

    async def endless(request, context):
        try:
            while True:
                yield request
        finally:
            # What takes time belongs to the call as well.
            await asyncio.sleep(0.02)
            closed.append(1)

    async with serve(nothing, {"UnaryStream": grpc.unary_stream_rpc_method_handler(endless, **CODEC)}) as caller:
        call = caller.start("UnaryStream", REQUEST)
        for _ in range(3):
            await call.read()
        call.cancel()
    assert closed == [1]
    assert handled() == {("UnaryStream", "CANCELLED"): 1}


async def test_a_stream_of_requests_that_is_cut_is_hardly_ever_taken_for_complete(serve, handled):
    attempts = 20
    async with serve(nothing) as caller:
        for _ in range(attempts):
            call = caller.start("StreamUnary", REQUEST, ends=False)
            await asyncio.sleep(0.02)
            call.cancel()
    assert handled()["StreamUnary", "CANCELLED"] > attempts / 2


async def test_callers_that_vanish_by_the_hundred_do_not_bring_the_server_down(serve, handled, kind):
    async with serve(forever) as caller:
        for delay in (0, 0.005, 0.05):
            calls = [caller.start(kind, REQUEST, timeout=0.02 + delay) for _ in range(50)]
            await asyncio.sleep(delay)
            for call in calls[::2]:
                call.cancel()
            await asyncio.gather(*(call.code() for call in calls))
    assert {code for _, code in handled()} <= {"CANCELLED", "DEADLINE_EXCEEDED"}


async def test_an_unknown_method_is_counted_under_no_name_of_the_callers(serve, handled, kind):
    handler = grpc.unary_unary_rpc_method_handler(forever, **CODEC)
    async with serve(nothing, {"Another": handler}) as caller:
        refused = await refusal(caller(kind, REQUEST, ends=False))
    assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
    assert handled() == {("other", "UNIMPLEMENTED"): 1}


async def test_a_method_that_a_servicer_leaves_out_is_unimplemented(serve, handled):
    generated = trainer_pb2_grpc.TrainerServiceServicer.GetRun
    codec = {"request_deserializer": trainer_pb2.GetRunRequest.FromString}
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: generated(None, request, context), **codec)
    async with serve(nothing, {"UnaryUnary": handler}) as caller:
        refused = await refusal(caller("UnaryUnary", trainer_pb2.GetRunRequest(name="runs/a")))
    assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
    assert handled() == {("UnaryUnary", "UNIMPLEMENTED"): 1}


async def test_each_message_of_a_stream_counts_for_its_principal(serve, tmp_path):
    tokens = {name: name * 22 for name in "ab"}
    (tmp_path / "tokens").write_text("".join(f"{name} admin {token}\n" for name, token in tokens.items()))
    access = Access(Tokens(tmp_path / "tokens"), calls_per_s=0.1)
    async with serve(nothing, access=access) as call:
        stream = call.start("StreamStream", REQUEST, REQUEST, token=tokens["a"])
        assert await stream.read() == REQUEST
        error = await refusal(stream.read())
        assert (error.code().name, error.details()) == ("RESOURCE_EXHAUSTED", "a makes more than 0.1 calls a second")
        delay = error_details_pb2.RetryInfo()
        assert rpc_status.from_call(sync(error)).details[0].Unpack(delay)
        assert 0 < delay.retry_delay.ToTimedelta().total_seconds() <= 10
        assert (await refusal(call("UnaryUnary", REQUEST, token=tokens["a"]))).code().name == "RESOURCE_EXHAUSTED"
        # Another from the same address, whose stream is no longer than its budget.
        assert await call("StreamUnary", REQUEST, token=tokens["b"]) == [REQUEST]
