from __future__ import annotations

import asyncio

import pytest

from w2s.errors import FailedPrecondition, InvalidArgument, Unavailable
from w2s_supervisor.backends.text_generation.asking import each
from w2s_supervisor.backends.text_generation.failures import RowError
from w2s_supervisor.backends.together import together


async def answer(value):
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


async def test_answers_are_in_the_order_of_the_questions():
    assert await together([answer(number) for number in range(5)]) == [0, 1, 2, 3, 4]


async def test_a_questions_own_error_is_in_its_place():
    error = InvalidArgument("prompt", "no")
    assert await each([answer(1), answer(RowError(error)), answer(3)]) == [1, error, 3]


async def test_everybodys_error_is_raised_and_ends_the_others():
    ended = asyncio.Event()

    async def waits():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(FailedPrecondition):
        await each([waits(), answer(FailedPrecondition("no"))])
    assert ended.is_set()


async def test_a_server_that_fails_at_all_is_everybodys_error():
    with pytest.raises(Unavailable):
        await each([answer(RowError(Unavailable("no"))), answer(RowError(Unavailable("no")))])
    mixed = await each([answer(RowError(Unavailable("no"))), answer(RowError(InvalidArgument("prompt", "no")))])
    assert [type(error) for error in mixed] == [Unavailable, InvalidArgument]
