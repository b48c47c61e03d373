from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from w2s.rpc.calls import Call


class Context:
    """A call of a caller who gives it so many seconds."""

    def __init__(self, timeout, code=None):
        self.time_remaining = lambda: timeout
        self.code = lambda: code

    def invocation_metadata(self):
        return (("authorization", "Bearer a"), ("trace-bin", b"\0"))

    def peer(self):
        return "ipv4:127.0.0.1:1"


@pytest.fixture
def ending(monkeypatch):
    """The code of a call that ends so many seconds after it began, by an error or without."""

    async def end(context, after_s, error=None):
        loop = asyncio.get_running_loop()
        now = loop.time()
        call = Call("/w2s.Test/Get", True, context)
        with monkeypatch.context() as patch:
            patch.setattr(loop, "time", lambda: now + after_s)
            try:
                if error:
                    raise error
            except BaseException:
                return call.code()
            return call.code()

    return end


@pytest.mark.parametrize(
    ("sent", "ended"),
    [
        (0.2, 0.2),
        # The call took 40 ms to come.
        (0.2, 0.16),
        # gRPC rounds up what it sends: here 10.01 s, 100.1 s and 1001 s.
        (10.1, 10.01),
        (101, 100.1),
        (1010, 1001),
    ],
)
@pytest.mark.parametrize("error", [asyncio.CancelledError(), grpc.aio.InternalError("nobody is there")])
async def test_a_caller_who_ran_out_of_time_has_not_cancelled(ending, sent, ended, error):
    assert await ending(Context(sent), ended, error) is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("timeout", [None, 0.2, 10, 1000])
async def test_a_caller_who_leaves_with_time_to_spare_has_cancelled(ending, timeout):
    assert await ending(Context(timeout), (timeout or 1e9) / 2, asyncio.CancelledError()) is grpc.StatusCode.CANCELLED


async def test_a_success_counts_up_to_the_deadline(ending):
    assert await ending(Context(10), 9.999) is grpc.StatusCode.OK
    assert await ending(Context(10), 10.001) is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, 5])
async def test_a_refusal_counts_whenever_it_comes(ending, code):
    assert await ending(Context(10, code), 11) is grpc.StatusCode.NOT_FOUND


async def test_labels_are_the_servers_own_names():
    assert Call("/w2s.Test/Get", True, Context(1)).names == ("w2s.Test", "Get")
    assert Call("/by/caller/made/up", False, Context(1)).names == ("other", "other")


async def test_metadata_is_what_is_text():
    assert Call("/w2s.Test/Do", True, Context(1)).metadata == {"authorization": "Bearer a"}
