from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from w2s.errors import Cancelled
from w2s.jobs.threads import run_stoppable


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_the_result_and_the_error_of_the_work_come_through(executor):
    assert await run_stoppable(executor, lambda check: check() or 7) == 7
    with pytest.raises(ZeroDivisionError):
        await run_stoppable(executor, lambda check: 1 / 0)


async def test_a_cancel_stops_the_work_and_waits_for_its_end(executor):
    loop, began, seen = asyncio.get_running_loop(), asyncio.Event(), []

    def work(check):
        loop.call_soon_threadsafe(began.set)
        try:
            while True:
                check()
        except Cancelled:
            seen.append("stopped")
            raise

    task = asyncio.create_task(run_stoppable(executor, work))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["stopped"]


async def test_a_second_cancel_does_not_leave_the_work_behind(executor):
    loop, began, gate = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work(check):
        loop.call_soon_threadsafe(began.set)
        gate.wait()

    task = asyncio.create_task(run_stoppable(executor, work))
    await began.wait()
    for reason in ("stopping", "lost"):
        task.cancel(reason)
        await asyncio.sleep(0.02)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_has_not_begun_never_does(executor, monkeypatch):
    gate, ran, submitted = threading.Event(), [], asyncio.Event()
    executor.submit(gate.wait)
    submit = executor.submit
    monkeypatch.setattr(executor, "submit", lambda *work: (submitted.set(), submit(*work))[1])
    task = asyncio.create_task(run_stoppable(executor, ran.append))
    await submitted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    executor.shutdown()
    assert ran == []
