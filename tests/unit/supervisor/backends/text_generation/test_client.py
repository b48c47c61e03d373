from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import pytest

from w2s.errors import DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, ResourceExhausted, Unavailable
from w2s.models.inputs import Row
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.backends.text_generation.client import Client
from w2s_supervisor.backends.text_generation.failures import Lacks, RowError
from w2s_supervisor.spec import ClassMethod


@pytest.fixture
async def client(teachers, control):
    """A client with four places."""
    made = Client(teachers.url, 4, 30.0, lambda: "", teachers.errors.append, teachers.rng)
    yield made
    await made.close()


async def tokens(client, text="the cat"):
    return await client.post("/tokenize", {"inputs": text}, lambda response: len(response.json()), text)


async def error_of(awaitable):
    """What a question fails with, be it its own or everybody's."""
    try:
        await awaitable
    except RowError as error:
        return error.error
    except Exception as error:
        return error
    pytest.fail("it did not fail")


@pytest.mark.parametrize("status", [429, 424, 500, 502, 503, 504])
async def test_a_failure_that_may_pass_is_tried_again(status, client, control, teachers):
    control(fail_status=status, fail_count=3)
    assert await tokens(client) == 5
    assert len(teachers.errors) == 3


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, ResourceExhausted, "overloaded"),
        (424, Unavailable, "generation"),
        (500, Unavailable, "generation"),
        (502, Unavailable, "connection"),
        (503, Unavailable, "connection"),
    ],
)
async def test_it_is_tried_4_times_at_most(status, error, kind, client, control, teachers):
    control(fail_status=status, fail_count=9)
    raised = await error_of(tokens(client))
    assert type(raised) is error
    assert client.host in raised.message
    assert teachers.errors == [kind] * 4


async def test_pauses_double_and_have_full_jitter(client, control, teachers):
    control(fail_status=503, fail_count=9)
    await error_of(tokens(client))
    assert teachers.rng.longest[:3] == [0.5, 1.0, 2.0]


async def test_nothing_is_tried_again_once_its_time_is_over(teachers, control):
    # The first pause is drawn from [0, 0.5] s: this generator's first number makes it 0.42 s.
    rng = random.Random(0)
    client = Client(teachers.url, 4, 0.3, lambda: "", teachers.errors.append, rng)
    control(fail_status=503, fail_count=9)
    assert type(await error_of(tokens(client))) is Unavailable
    assert teachers.errors == ["connection"]
    await client.close()


async def test_all_attempts_share_one_requests_time(teachers, control):
    class Steady(random.Random):
        def uniform(self, a, b):
            return 0.2

    client = Client(teachers.url, 4, 0.5, lambda: "", teachers.errors.append, Steady())
    control(fail_status=503, fail_count=9)
    assert type(await error_of(tokens(client))) is Unavailable
    # Begun at 0, 0.2 and 0.4 s.
    assert 2 <= len(teachers.errors) <= 3
    await client.close()


@pytest.mark.parametrize(
    ("status", "error", "kind", "words"),
    [
        (400, InvalidArgument, "validation", "told to fail"),
        (422, InvalidArgument, "validation", "told to fail"),
        (401, FailedPrecondition, "credential", "credential"),
        (403, FailedPrecondition, "credential", "credential"),
        (404, Lacks, "refused", "no such route"),
        (418, FailedPrecondition, "refused", "418"),
    ],
)
async def test_a_refusal_is_not_tried_again(status, error, kind, words, client, control, teachers):
    control(fail_status=status, fail_count=1)
    raised = await error_of(tokens(client))
    assert type(raised) is error
    assert words in raised.message
    assert client.host in raised.message
    assert teachers.errors == [kind]


async def test_a_body_over_the_servers_limit_is_the_rows_error(client, control):
    control(payload_limit=1000)
    raised = await error_of(tokens(client, "x" * 2000))
    assert isinstance(raised, InvalidArgument)
    assert "too large" in raised.message


async def test_a_connection_that_is_reset_is_tried_again(client, control, teachers):
    control(reset_count=3)
    assert await tokens(client) == 5
    assert teachers.errors == ["connection"] * 3


async def test_a_server_that_is_not_there_is_unavailable(teachers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", 4, 30.0, lambda: "", teachers.errors.append, teachers.rng)
    raised = await error_of(tokens(client))
    assert isinstance(raised, Unavailable)
    assert f"127.0.0.1:{port}" in raised.message
    assert teachers.errors == ["connection"] * 4
    await client.close()


async def test_an_answer_that_is_cut_off_is_asked_for_once_more(client, control, teachers):
    control(truncated_count=1)
    assert await tokens(client) == 5
    assert teachers.errors == ["protocol"]


async def test_an_answer_that_stays_unreadable_is_an_internal_error(client, control, teachers):
    control(truncated_count=9)
    raised = await error_of(tokens(client))
    assert isinstance(raised, Internal)
    assert "the server's answer cannot be read" in raised.message
    assert teachers.errors == ["protocol"] * 2


async def test_an_answer_in_another_form_cannot_be_read(client):
    raised = await error_of(client.post("/tokenize", {"inputs": "a"}, lambda r: r.json()["no such key"], "a"))
    assert isinstance(raised, Internal)


async def test_an_answer_without_end_is_not_taken_in(client, control, teachers, monkeypatch):
    monkeypatch.setattr("w2s_supervisor.backends.text_generation.wire.MAX_BYTES", 100_000)
    control(padding=200_000)
    assert isinstance(await error_of(tokens(client)), Internal)
    assert set(teachers.errors) == {"protocol"}


async def test_a_server_that_is_too_slow_has_exceeded_the_deadline(teachers, control, prompt):
    control()
    teacher = await teachers.open(prompt=prompt(), timeout_s=0.3)
    control(latency_s=5.0)
    with pytest.raises(DeadlineExceeded):
        await teacher.label([Row("the cat")], Lane.ONLINE)
    assert teachers.errors == ["timeout"]


async def test_time_spent_waiting_for_a_place_is_not_counted(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt(), max_concurrency=1, timeout_s=0.5)
    control(latency_s=0.12)
    answers = await teacher.label([Row(f"the cat {number}") for number in range(6)], Lane.BULK)
    assert [type(answer).__name__ for answer in answers] == ["Labelled"] * 6


async def test_no_more_requests_are_in_flight_than_allowed(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt(), max_concurrency=3)
    control(latency_s=0.02)
    await teacher.label([Row(f"the cat {number}") for number in range(24)], Lane.ONLINE)
    seen = control()
    assert seen["most_in_flight"] == 3


async def test_connections_are_kept(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt(), max_concurrency=3)
    before = len(control()["peers"])
    for _ in range(3):
        await teacher.label([Row(f"the cat {number}") for number in range(24)], Lane.ONLINE)
    assert len(control()["peers"]) - before <= 3


async def test_32_callers_of_a_server_with_4_places_all_succeed(toy_server, teachers, control, prompt):
    teachers.rng = random.Random(0)
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.GRAMMAR)
    control(max_concurrent_requests=4, latency_s=0.005)
    answers = await teacher.label([Row(f"the cat {number}") for number in range(32)], Lane.BULK)
    assert [type(answer).__name__ for answer in answers] == ["Labelled"] * 32
    assert "overloaded" in teachers.errors
    assert control()["most_in_flight"] == 4


async def test_a_cancelled_caller_cancels_its_requests(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt())
    control(latency_s=20.0)
    asked = asyncio.create_task(teacher.label([Row(f"the cat {number}") for number in range(8)], Lane.BULK))
    while control()["in_flight"] < 8:
        await asyncio.sleep(0.02)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked
    while control()["in_flight"]:
        await asyncio.sleep(0.02)
    assert control()["aborted"] == 8


async def test_a_row_that_the_server_fails_at_is_an_error_in_its_place(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt())
    control(poison="dog")
    good, poisoned, last = await teacher.label([Row("a cat"), Row("a dog"), Row("a tree")], Lane.BULK)
    assert isinstance(poisoned, Unavailable)
    assert [type(good).__name__, type(last).__name__] == ["Labelled"] * 2


async def test_a_server_that_fails_at_every_row_is_everybodys_error(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt())
    control(poison="dog")
    with pytest.raises(Unavailable):
        await teacher.label([Row("a dog"), Row("old dog")], Lane.BULK)


async def test_a_row_that_is_too_long_is_an_error_in_its_place(teachers, control, prompt):
    control(max_input_tokens=60)
    teacher = await teachers.open(prompt=prompt())
    long, good = await teacher.label([Row("x" * 200), Row("a cat")], Lane.BULK)
    assert isinstance(long, InvalidArgument)
    assert type(good).__name__ == "Labelled"
