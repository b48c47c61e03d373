from __future__ import annotations

import asyncio

import numpy as np
import pytest

from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_supervisor.backends.protocol import Labelled, Lane
from w2s_supervisor.desk import Answer, Target
from w2s_supervisor.limits import Limits
from w2s_supervisor.queries import Queries


class HeldUp:
    """A desk whose teacher answers when it is let, and which remembers what it was asked."""

    def __init__(self, teacher):
        self.teacher = teacher
        self.asked = []
        self.free = asyncio.Event()

    async def label(self, target, rows, lane):
        self.asked.append((target, lane))
        await self.free.wait()
        share = np.full(2, 0.5, np.float32)
        return Answer(self.teacher, [Labelled(np.log(share), share)] * len(rows))


@pytest.fixture
async def desk(register):
    return HeldUp(await register("a", 1))


@pytest.fixture
def queries(desk):
    return Queries(desk, Limits(max_rows=3, max_characters=40), max_generations=1)


def request(id_, **fields):
    return pb.LabelRequest(examples=[common.Example(id=str(id_), text="text")], **fields)


async def test_a_stream_is_read_no_further_than_its_window(queries, desk, settled):
    read = []

    async def requests():
        for number in range(30):
            read.append(number)
            yield request(number)

    stream = queries.label_stream(requests())
    first = asyncio.create_task(anext(stream))
    await settled()
    # Eight are under way, and one more was read before there was no room for it.
    assert (len(desk.asked), len(read)) == (8, 9)
    desk.free.set()
    answers = [await first, *[answer async for answer in stream]]
    assert [answer.labels[0].id for answer in answers] == [str(number) for number in range(30)]
    assert {lane for _, lane in desk.asked} == {Lane.STREAM}


async def test_a_stream_that_is_left_leaves_nothing_running(queries, settled):
    async def requests():
        for number in range(30):
            yield request(number)

    before = len(asyncio.all_tasks())
    stream = queries.label_stream(requests())
    first = asyncio.create_task(anext(stream))
    await settled()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await stream.aclose()
    await settled()
    assert len(asyncio.all_tasks()) == before


async def test_whom_a_question_is_for_is_passed_on(queries, desk):
    desk.free.set()
    await queries.label(request(1, teacher="teachers/b", required_digest="sha256:1"), Lane.ONLINE)
    assert desk.asked == [(Target("b", "sha256:1"), Lane.ONLINE)]
    with pytest.raises(InvalidArgument, match=r"^teacher: must be teachers/"):
        await queries.label(request(1, teacher="b"), Lane.ONLINE)


def completions(*texts):
    return pb.ScoreRequest(
        completions=[pb.Completion(id=str(n), prompt="p", completion=t) for n, t in enumerate(texts)]
    )


def pairs(*texts):
    made = [pb.CompletionPair(id=str(n), prompt="p", completion_a="a", completion_b=t) for n, t in enumerate(texts)]
    return pb.CompareRequest(pairs=made)


@pytest.mark.parametrize(
    ("method", "asked", "problem"),
    [
        ("score", completions(*"abcd"), "^completions: at most 3 a call, got 4"),
        ("score", completions("x" * 50), r"^completions\[0\]\.completion: has 50 of the call's 51 characters"),
        ("compare", pairs(*"abcd"), "^pairs: at most 3 a call, got 4"),
        ("compare", pairs("a", "x" * 50), r"^pairs\[1\]\.completion_b: has 50 of the call's 55 characters"),
    ],
)
async def test_scores_and_comparisons_have_the_limits_of_labels(queries, method, asked, problem):
    with pytest.raises(InvalidArgument, match=problem):
        await getattr(queries, method)(asked)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompts": ["x", "x" * 41]}, r"^prompts\[1\]: has 41"),
        ({"prompts": ["x", ""]}, "^prompts: must not hold an empty text"),
        ({"prompts": ["x", "x"], "samples": 33}, "^prompts: are 66 continuations"),
        ({"samples": 65}, "^samples: "),
        ({"max_new_tokens": 8193}, "^max_new_tokens: "),
        ({"temperature": -1.0}, "^temperature: "),
        ({"temperature": float("nan")}, "^temperature: "),
        ({"top_p": 0.0}, "^top_p: "),
        ({"seed": 1 << 32}, "^seed: "),
        ({"stop": [""]}, "^stop: must not hold an empty text"),
        ({"stop": list("abcde")}, "^stop: "),
    ],
)
async def test_a_generation_out_of_its_ranges_is_refused(queries, fields, problem):
    with pytest.raises(InvalidArgument, match=problem):
        await anext(queries.generate(pb.GenerateRequest(**{"prompts": ["p"], **fields})))
