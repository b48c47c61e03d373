from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from w2s.jobs.attempt import Attempt, Stop
from w2s.jobs.store import Lease

LEASE_S = 0.15


@asynccontextmanager
async def attempt_with(renew, work=None):
    """An attempt, at work that goes on for ever unless given, kept by a renewal."""
    task = asyncio.create_task(work or asyncio.Event().wait())
    attempt = Attempt(task, renew, LEASE_S, asyncio.get_running_loop().time())
    keeping = asyncio.create_task(attempt.keep())
    yield attempt
    keeping.cancel()
    task.cancel()


async def test_a_lease_is_renewed_each_third_of_it():
    times = []

    async def renew():
        times.append(asyncio.get_running_loop().time())
        return Lease.HELD

    async with attempt_with(renew) as attempt:
        await asyncio.sleep(LEASE_S * 2.5)
        assert (attempt.stopped, attempt.task.done()) == (None, False)
    assert 3 <= len(times) <= 7
    assert all(later - time < LEASE_S for time, later in pairwise(times))


@pytest.mark.parametrize(("lease", "reason"), [(Lease.LOST, "lost"), (Lease.CANCELLED, "cancelled")])
async def test_work_stops_when_its_lease_is_lost_or_its_end_is_asked_for_and_is_told_which(lease, reason):
    async def renew():
        return lease

    async with attempt_with(renew) as attempt:
        await asyncio.wait([attempt.task], timeout=5)
        assert attempt.stopped == reason
        with pytest.raises(asyncio.CancelledError) as caught:
            attempt.task.result()
        assert caught.value.args == (reason,)


async def never():
    await asyncio.Event().wait()


async def fail():
    raise OSError("the database is away")


@pytest.mark.parametrize("renew", [never, fail])
async def test_work_whose_lease_cannot_be_renewed_stops_when_it_ends(renew):
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with attempt_with(renew) as attempt:
        await asyncio.wait([attempt.task], timeout=5)
        assert (attempt.task.cancelled(), attempt.stopped) == (True, Stop.LOST)
    assert loop.time() - start >= LEASE_S * 0.9


async def test_a_renewal_that_fails_once_costs_nothing():
    failed = []

    async def renew():
        if not failed:
            failed.append(True)
            await fail()
        return Lease.HELD

    async with attempt_with(renew) as attempt:
        await asyncio.sleep(LEASE_S * 2)
        assert (failed, attempt.stopped, attempt.task.done()) == ([True], None, False)


async def test_a_second_stop_does_not_break_into_the_clearing_up_of_the_first():
    cleared = asyncio.Event()

    async def renew():
        return Lease.HELD

    async with attempt_with(renew, clears_up(cleared, 0.05)) as attempt:
        await asyncio.sleep(0)
        attempt.stop(Stop.CANCELLED)
        await asyncio.sleep(0)
        attempt.stop(Stop.LOST)
        await asyncio.wait([attempt.task])
        assert (cleared.is_set(), attempt.stopped) == (True, Stop.CANCELLED)


@pytest.mark.parametrize("lease", [Lease.LOST, Lease.CANCELLED])
async def test_work_that_puts_things_away_for_the_next_server_is_told_when_that_is_in_vain(lease):
    reasons = []

    async def renew():
        return lease if reasons else Lease.HELD

    async def work():
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                reasons.append(error.args)
        await asyncio.sleep(LEASE_S)

    async with attempt_with(renew, work()) as attempt:
        await asyncio.sleep(0)
        for _ in range(2):
            attempt.stop(Stop.STOPPING)
            await asyncio.sleep(0)
        await asyncio.wait([attempt.task])
        assert not attempt.task.cancelled()
        assert reasons == [("stopping",), (lease.name.lower(),)]
        assert attempt.stopped == lease.name.lower()


async def test_work_keeps_its_lease_while_it_clears_up():
    renewals, cleared = [], asyncio.Event()

    async def renew():
        renewals.append(cleared.is_set())
        return Lease.CANCELLED

    async with attempt_with(renew, clears_up(cleared, 2 * LEASE_S)) as attempt:
        await asyncio.wait([attempt.task])
        assert cleared.is_set()
    assert renewals.count(False) >= 3


async def clears_up(cleared, seconds):
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(seconds)
        cleared.set()
