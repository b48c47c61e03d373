"""Several servers that share one database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from w2s.jobs import Progress, State

SPEC = {"epochs": 2}
QUICK = {"lease_s": 0.3, "poll_s": 0.02}


async def ended(manager, id_: str):
    async for _ in manager.watch(id_, 0):
        pass
    return await manager.get(id_)


@pytest.fixture
def replicas(tmp_path):
    """Starts servers in processes of their own, and returns them and the log of what they execute."""
    with ExitStack() as stack:

        def start(number: int, seconds: float):
            log = tmp_path / "executed.log"
            command = [sys.executable, Path(__file__).parent / "replica.py"]
            command += [f"sqlite:///{tmp_path}/jobs.db", log, str(seconds)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            processes = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(number)]
            for process in processes:
                stack.callback(process.kill)
                assert process.stdout.readline() == b"ready\n"
            return processes, log

        yield start


async def test_two_servers_execute_each_job_once(serve, work, elsewhere):
    names = [f"job-{number}" for number in range(8)]
    for name in names:
        work.go[name].set()
    async with serve(slots=2, **QUICK) as first, serve(elsewhere, slots=2, **QUICK) as second:
        for name, server in zip(names, [first, second] * 4, strict=True):
            await server.create(name, SPEC)
        jobs = [await ended(first, name) for name in names]
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert sorted(work.attempts) == [(name, 1) for name in names]


async def test_processes_that_compete_execute_each_job_once(replicas, serve, job_store):
    names = [f"job-{number:02}" for number in range(50)]
    processes, log = replicas(3, 0.01)
    for name in names:
        await job_store.create(name, SPEC, {}, 100)
    async with serve(slots=0, poll_s=0.02) as watcher:
        jobs = [await ended(watcher, name) for name in names]
    assert {(job.state, job.attempt) for job in jobs} == {(State.SUCCEEDED, 1)}
    executed = [line.split() for line in log.read_text().splitlines()]
    assert sorted(name for name, _ in executed) == names
    assert len({process for _, process in executed}) > 1
    for process in processes:
        process.stdin.close()
        assert process.wait(10) == 0


async def test_the_job_of_a_killed_process_is_taken_over_long_before_its_lease_ends(replicas, serve, work, job_store):
    (process,), log = replicas(1, 60)
    await job_store.create("one", SPEC, {}, 10)
    await until_executed(log)
    async with serve(poll_s=0.02) as manager:
        await asyncio.sleep(0.1)
        assert work.attempts == []
        process.kill()
        async with asyncio.timeout(5):
            await work.began["one"].wait()
        work.go["one"].set()
        assert (await ended(manager, "one")).state is State.SUCCEEDED
    assert work.attempts == [("one", 2)]
    assert log.read_text() == f"one {process.pid}\n"


async def until_executed(log):
    async with asyncio.timeout(10):
        while not log.exists() or not log.read_text():
            await asyncio.sleep(0.01)


async def test_a_job_longer_than_its_lease_stays_with_its_server(serve, work, elsewhere):
    async with serve(**QUICK) as first, serve(elsewhere, **QUICK):
        await first.create("one", SPEC)
        await work.began["one"].wait()
        await asyncio.sleep(3 * QUICK["lease_s"])
        work.go["one"].set()
        assert (await ended(first, "one")).attempt == 1
    assert work.attempts == [("one", 1)]


async def test_a_starting_server_leaves_the_jobs_of_another_alone(serve, work, elsewhere):
    async with serve(**QUICK) as first:
        await first.create("one", SPEC)
        await work.began["one"].wait()
        async with serve(elsewhere, **QUICK):
            await asyncio.sleep(0.1)
            assert work.attempts == [("one", 1)]
        assert (await first.get("one")).state is State.RUNNING
        work.go["one"].set()
        assert (await ended(first, "one")).attempt == 1


async def test_a_server_that_lost_its_lease_stops_its_work_and_says_nothing_more(serve, elsewhere):
    """It finds the job with another, as after it hung for longer than its lease."""
    over, stopped, begun = [], [], asyncio.Event()

    async def stuck(job, report):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            report(Progress("late"))
            stopped.append((job.attempt, *error.args))
            raise

    async with serve(execute=stuck, on_end=over.append, **QUICK) as first:
        await first.create("one", SPEC)
        await begun.wait()
        taken = text("UPDATE jobs SET owner = 'h/b/n/1/1/x', lease_until = :later")
        later = datetime.fromtimestamp(time.monotonic() + 600, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        await elsewhere.run(lambda session: session.execute(taken, {"later": later}))
        async with asyncio.timeout(5):
            while not stopped:
                await asyncio.sleep(0.02)
        job = await first.get("one")
        assert (job.state, job.progress) == (State.RUNNING, None)
    assert (stopped, over) == ([(1, "lost")], [])


async def test_a_server_whose_database_is_away_stops_its_work_before_another_begins(
    serve, work, elsewhere, monkeypatch
):
    going, overlaps = set(), []

    def execute_as(name):
        async def execute(job, report):
            overlaps.extend(going)
            going.add(name)
            try:
                return await work(job, report)
            finally:
                going.discard(name)

        return execute

    async def away(*arguments):
        raise OperationalError("UPDATE", {}, OSError("no route to host"))

    async with serve(execute=execute_as("first"), **QUICK) as first:
        monkeypatch.setattr(first._store, "renew", away)
        await first.create("one", SPEC)
        await work.began["one"].wait()
        monkeypatch.setattr(first._store, "claim", away)
        async with serve(elsewhere, execute=execute_as("second"), **QUICK) as second:
            while len(work.attempts) < 2:
                await asyncio.sleep(0.02)
            work.go["one"].set()
            job = await ended(second, "one")
    assert (job.state, job.attempt, overlaps) == (State.SUCCEEDED, 2, [])


async def test_a_watcher_sees_what_another_server_does(serve, work, elsewhere):
    work.reports = [Progress("train", step, 2) for step in (1, 2)]
    async with serve(**QUICK) as first, serve(elsewhere, slots=0, **QUICK) as second:
        await first.create("one", SPEC)
        events = asyncio.create_task(collect(second.watch("one", 0)))
        await work.began["one"].wait()
        work.go["one"].set()
        assert [event.progress for event in await events] == [None, None, *work.reports, None]
        assert await events == await collect(first.watch("one", 0))


async def collect(events):
    return [event async for event in events]


async def test_a_server_cancels_what_another_executes(serve, work, elsewhere):
    over = []
    async with (
        serve(on_end=over.append, **QUICK) as first,
        serve(elsewhere, slots=0, on_end=over.append, **QUICK) as second,
    ):
        await first.create("one", SPEC)
        await work.began["one"].wait()
        assert (await second.cancel("one")).state is State.CANCELLED
        await first.create("two", SPEC)
        await work.began["two"].wait()
    assert [(job.id, job.state) for job in over] == [("one", State.CANCELLED)]


async def test_a_cancel_ends_when_the_owner_dies_before_it_heard_of_it(replicas, serve, work, job_store):
    """The owner renews its lease, and so hears of the cancel, after 5 s: it is dead by then."""
    (process,), log = replicas(1, 60)
    await job_store.create("one", SPEC, {}, 10)
    await until_executed(log)
    async with serve(slots=0, poll_s=0.02) as manager:
        cancelling = asyncio.create_task(manager.cancel("one"))
        await asyncio.sleep(0.1)
        assert not cancelling.done()
        process.kill()
        async with asyncio.timeout(5):
            assert (await cancelling).state is State.CANCELLED


async def test_a_job_that_was_to_be_cancelled_when_its_owner_died_is_not_executed(
    serve, work, job_store, database, dead_owner
):
    over = []
    await job_store.create("one", SPEC, {}, 10)
    await job_store.claim(dead_owner, 600)
    await database.run(lambda session: session.execute(text("UPDATE jobs SET cancel_requested = true")))
    async with serve(on_end=over.append, **QUICK) as manager:
        assert (await ended(manager, "one")).state is State.CANCELLED
    assert ([job.id for job in over], work.attempts) == (["one"], [])
