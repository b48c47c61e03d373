from __future__ import annotations

import asyncio

from w2s_evaluator.monitor.pace import Pace


def seconds():
    return asyncio.get_running_loop().time()


async def test_a_second_of_the_rate_is_there_at_once_and_the_rest_comes_at_the_rate():
    begin, pace, taken = seconds(), Pace(100), 0
    assert await pace.take(1000) == 100
    while taken < 20:
        taken += await pace.take(20 - taken)
    assert seconds() - begin > 0.19


async def test_half_a_second_of_the_rate_comes_together():
    pace = Pace(40)
    await pace.take(40)
    assert await pace.take(100) >= 20
    assert await pace.take(1) == 1


async def test_tokens_that_are_given_back_are_there_again():
    pace = Pace(0.001)
    assert await pace.take(5) == 1
    pace.give_back(1)
    assert await asyncio.wait_for(pace.take(5), 1) == 1
