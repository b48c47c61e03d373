from __future__ import annotations

import pytest
from support.text_generation import running

from w2s.errors import FailedPrecondition, Unavailable
from w2s.models.inputs import Completion, Row, Sampling
from w2s_supervisor.backends.protocol import Lane

APIS = pytest.mark.parametrize("api", ["tgi", "openai"])
ROWS = [Row("the cat")]


@pytest.fixture
async def teacher(api, teachers, control, prompt):
    control(api=api, prefill_logprobs=True)
    made = await teachers.open(prompt=prompt())
    # The first label opens connections, and so has the server asked once more afterwards.
    for _ in range(2):
        await made.label(ROWS, Lane.ONLINE)
    return made


@APIS
async def test_a_server_that_becomes_another_model_is_noticed_after_10_s(teacher, teachers, control):
    control(model="toy/two")
    teachers.clock.now += 11
    with pytest.raises(FailedPrecondition, match="serves another model than toy/one"):
        await teacher.label(ROWS, Lane.ONLINE)
    with pytest.raises(FailedPrecondition):
        await teacher.score([Completion("the cat", " sat")], Lane.ONLINE)
    with pytest.raises(FailedPrecondition):
        await anext(teacher.generate(Sampling("the cat")))


@APIS
async def test_it_answers_again_once_the_server_is_what_it_was(teacher, teachers, control):
    control(model="toy/two")
    teachers.clock.now += 11
    with pytest.raises(FailedPrecondition):
        await teacher.label(ROWS, Lane.ONLINE)
    control(model="toy/one")
    (answer,) = await teacher.label(ROWS, Lane.ONLINE)
    assert answer.probabilities.sum() == pytest.approx(1)


@APIS
async def test_a_server_is_not_asked_again_within_10_s(api, teacher, teachers, control):
    route = "/info" if api == "tgi" else "/v1/models"
    before = control()["asked"][route]
    for _ in range(5):
        teachers.clock.now += 1
        await teacher.label(ROWS, Lane.ONLINE)
    assert control()["asked"][route] == before
    teachers.clock.now += 6
    await teacher.label(ROWS, Lane.ONLINE)
    assert control()["asked"][route] == before + 1


@APIS
async def test_a_server_started_anew_as_another_model_is_noticed_at_once(api, teachers, prompt):
    with running(api=api, prefill_logprobs=True) as first:
        teachers.url = first.url
        teachers.endpoints = type(teachers.endpoints)((first.url,))
        teacher = await teachers.open(prompt=prompt())
        await teacher.label(ROWS, Lane.ONLINE)
    port = int(first.url.rsplit(":", 1)[1])
    with pytest.raises(Unavailable):
        await teacher.label(ROWS, Lane.ONLINE)
    # The clock stands still: what is noticed is that connections are new.
    with running(port=port, api=api, prefill_logprobs=True, model="toy/two"):
        # A /v1 server is asked for the old one by its name, and may say first that it has no such model.
        with pytest.raises(FailedPrecondition, match=r"serves another model|no such route or model"):
            await teacher.label(ROWS, Lane.ONLINE)
        with pytest.raises(FailedPrecondition, match="serves another model"):
            await anext(teacher.generate(Sampling("the cat")))


async def test_a_stream_from_a_server_started_anew_gives_out_nothing(teachers, prompt):
    with running() as first:
        teachers.url = first.url
        teachers.endpoints = type(teachers.endpoints)((first.url,))
        teacher = await teachers.open(prompt=prompt())
        await anext(teacher.generate(Sampling("the cat")))
    port = int(first.url.rsplit(":", 1)[1])
    with running(port=port, model="toy/two"), pytest.raises(FailedPrecondition, match="serves another model"):
        await anext(teacher.generate(Sampling("the cat")))


async def test_a_stream_that_has_the_only_place_can_be_checked(teachers):
    class Hurried:
        now = 0.0

        def __call__(self):
            self.now += 11
            return self.now

    teachers.clock = Hurried()
    teacher = await teachers.open(max_concurrency=1, timeout_s=5)
    pieces = [piece async for piece in teacher.generate(Sampling("the cat", max_new_tokens=3))]
    assert sum(piece.tokens for piece in pieces) == 3


async def test_a_server_that_does_not_say_who_it_is_labels_nothing(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt())
    await teacher.label(ROWS, Lane.ONLINE)
    teachers.clock.now += 11
    control(reset_count=4)
    with pytest.raises(Unavailable):
        await teacher.label(ROWS, Lane.ONLINE)
