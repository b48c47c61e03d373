from __future__ import annotations

import asyncio

import pytest

from w2s.errors import ResourceExhausted
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.backends.room import Room


def test_only_those_who_do_not_want_to_wait_are_refused():
    room = Room(places=4, max_waiting=3)
    full = (room.admit(5, Lane.ONLINE), room.admit(2, Lane.STREAM), room.admit(9, Lane.BULK))
    with full[0], full[1], full[2], pytest.raises(ResourceExhausted, match=r"16 rows wait .*, and 3 may"):
        room.admit(1, Lane.ONLINE).__enter__()
    with room.admit(3, Lane.ONLINE):
        pass


async def test_bulk_callers_take_half_of_the_places():
    room, at_once, peak = Room(places=4, max_waiting=3), 0, {Lane.BULK: 0, Lane.ONLINE: 0}

    async def request(lane):
        nonlocal at_once
        async with room.turn(lane):
            at_once += 1
            peak[lane] = max(peak[lane], at_once)
            await asyncio.sleep(0.01)
            at_once -= 1

    for lane in peak:
        await asyncio.gather(*(request(lane) for _ in range(8)))
    assert peak == {Lane.BULK: 2, Lane.ONLINE: 8}
