from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from w2s.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from w2s.jobs import JobManager, JobStore, Progress, State

SPEC = {"epochs": 2}


async def ended(manager, id_: str):
    """The job, once it has ended."""
    async for _ in manager.watch(id_, 0):
        pass
    return await manager.get(id_)


async def test_a_job_runs_to_its_result(serve, work):
    over = []
    async with serve(on_end=over.append) as manager:
        queued = await manager.create("one", SPEC, {"display_name": "One"})
        assert (queued.state, queued.attempt, queued.extra) == (State.QUEUED, 0, {"display_name": "One"})
        work.go["one"].set()
        job = await ended(manager, "one")
        assert (job.state, job.attempt, job.result) == (State.SUCCEEDED, 1, {"made": SPEC})
        assert queued.create_time <= job.start_time <= job.end_time
    assert [done.id for done in over] == ["one"]


async def test_the_queue_outlives_listeners_that_fail(serve, work):
    def fail(*arguments):
        raise RuntimeError("no such series")

    work.reports = [Progress("train", 1, 2)]
    work.go["one"].set()
    async with serve(on_end=fail) as manager:
        await manager.create("one", SPEC)
        job = await ended(manager, "one")
        assert (job.state, job.progress) == (State.SUCCEEDED, work.reports[0])
        await manager.create("two", SPEC)
        await work.began["two"].wait()
        await manager.create("three", SPEC)
        assert (await manager.cancel("three")).state is State.CANCELLED


async def test_a_repeated_create_finds_the_job_of_the_first(serve, work):
    async with serve() as manager:
        first = await manager.create("one", SPEC)
        again = await manager.create("one", dict(SPEC))
        assert (again.id, again.create_time) == (first.id, first.create_time)
        await work.began["one"].wait()
        assert (await manager.create("one", SPEC)).state is State.RUNNING
        work.go["one"].set()
        job = await ended(manager, "one")
        assert await manager.create("one", SPEC) == job
    assert work.attempts == [("one", 1)]


async def test_an_id_is_not_given_to_another_spec(serve):
    async with serve() as manager:
        await manager.create("one", SPEC)
        with pytest.raises(AlreadyExists, match="runs/one"):
            await manager.create("one", {"epochs": 3})


async def test_a_job_begins_and_is_seen_to_end_without_waiting_for_a_poll(serve, work):
    work.go["one"].set()
    async with serve(poll_s=60) as manager, asyncio.timeout(5):
        # The slot has looked for jobs, and found none.
        await asyncio.sleep(0.1)
        await manager.create("one", SPEC)
        assert (await ended(manager, "one")).state is State.SUCCEEDED


async def test_without_a_request_id_each_create_is_a_new_job(serve):
    async with serve() as manager:
        assert len({(await manager.create("", SPEC)).id for _ in range(2)}) == 2


@pytest.mark.parametrize("id_", ["../x", "A", "a/b", "x" * 64])
async def test_a_malformed_id_is_refused(serve, id_):
    async with serve() as manager:
        with pytest.raises(InvalidArgument, match="request_id"):
            await manager.create(id_, SPEC)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(FailedPrecondition("swap first"), 9, "swap first"), (KeyError("k"), 13, "KeyError: 'k'")],
)
async def test_an_error_fails_the_job_with_its_code(serve, work, error, code, message):
    work.error = error
    work.go["one"].set()
    async with serve() as manager:
        await manager.create("one", SPEC)
        job = await ended(manager, "one")
        assert (job.state, job.error_code, job.error_message) == (State.FAILED, code, message)
        assert job.result is None


async def test_create_queues_a_failed_job_again(serve, work):
    work.error = FailedPrecondition("not yet")
    work.go["one"].set()
    async with serve() as manager:
        await manager.create("one", SPEC)
        failed = await ended(manager, "one")
        work.error = None
        again = await manager.create("one", SPEC)
        assert (again.state, again.error_code, again.error_message, again.end_time) == (State.QUEUED, 0, "", None)
        job = await ended(manager, "one")
    assert (failed.attempt, job.attempt, job.state) == (1, 2, State.SUCCEEDED)


async def test_a_queued_job_is_cancelled_before_it_begins(serve, work):
    over = []
    async with serve(on_end=over.append) as manager:
        await manager.create("first", SPEC)
        await manager.create("second", SPEC)
        await work.began["first"].wait()
        assert (await manager.cancel("second")).state is State.CANCELLED
        await manager.create("third", SPEC)
        work.go["first"].set()
        # The slot has passed the second job when it takes up the third.
        await work.began["third"].wait()
        await manager.cancel("second")
    assert work.attempts == [("first", 1), ("third", 1)]
    assert [job.id for job in over] == ["second", "first"]


async def test_a_cancel_whose_caller_hangs_up_is_told_of_all_the_same(serve, work, monkeypatch):
    over, committed = [], asyncio.Event()
    async with serve(on_end=over.append) as manager:
        cancel = manager._store.cancel

        async def slow_cancel(id_):
            answer = await cancel(id_)
            committed.set()
            await asyncio.sleep(0.05)
            return answer

        monkeypatch.setattr(manager._store, "cancel", slow_cancel)
        await manager.create("first", SPEC)
        await manager.create("second", SPEC)
        await work.began["first"].wait()
        cancelling = asyncio.create_task(manager.cancel("second"))
        await committed.wait()
        cancelling.cancel()
        await asyncio.sleep(0.2)
    assert [job.id for job in over] == ["second"]


async def test_a_running_job_is_cancelled_and_its_slot_goes_on(serve, work):
    over = []
    async with serve(on_end=over.append) as manager:
        await manager.create("one", SPEC)
        await work.began["one"].wait()
        # At once: the lease, by which another server's cancel is heard of, is renewed after 5 s.
        async with asyncio.timeout(2):
            job = await manager.cancel("one")
        assert (job.state, job.result) == (State.CANCELLED, None)
        assert await manager.cancel("one") == job
        await manager.create("two", SPEC)
        work.go["two"].set()
        assert (await ended(manager, "two")).state is State.SUCCEEDED
    assert [job.id for job in over] == ["one", "two"]


async def test_a_job_is_cancelled_at_the_moment_its_slot_takes_it_up(serve, work, monkeypatch):
    """The cancel comes after the beginning is in the database and before the slot hears of it."""
    taken, cancelling = asyncio.Event(), asyncio.Event()
    async with serve() as manager:
        claim, cancel = manager._store.claim, manager._store.cancel

        async def slow_claim(*arguments):
            job = await claim(*arguments)
            if job is not None:
                taken.set()
                await cancelling.wait()
            return job

        async def telling_cancel(id_):
            cancelling.set()
            return await cancel(id_)

        monkeypatch.setattr(manager._store, "claim", slow_claim)
        monkeypatch.setattr(manager._store, "cancel", telling_cancel)
        await manager.create("one", SPEC)
        await taken.wait()
        assert (await manager.cancel("one")).state is State.CANCELLED
        await manager.create("two", SPEC)
        await work.began["two"].wait()
    assert work.attempts == [("two", 1)]


async def test_work_that_answers_a_cancel_with_its_own_error_is_cancelled(serve, work):
    async def execute(job, report):
        try:
            return await work(job, report)
        except asyncio.CancelledError:
            raise Cancelled("stopped") from None

    async with serve(execute=execute) as manager:
        await manager.create("one", SPEC)
        await work.began["one"].wait()
        assert (await manager.cancel("one")).state is State.CANCELLED


async def test_cancelling_an_ended_job_changes_nothing_and_an_unknown_one_is_not_found(serve, work):
    work.go["one"].set()
    async with serve() as manager:
        await manager.create("one", SPEC)
        job = await ended(manager, "one")
        assert await manager.cancel("one") == job
        for call in (manager.cancel("none"), manager.get("none"), anext(manager.watch("none", 0))):
            with pytest.raises(NotFound, match="runs/none"):
                await call


async def test_a_watcher_sees_every_event_numbered_without_gaps_and_the_end(serve, work):
    work.reports = [Progress("train", step, 3, {"loss": 1 / step}) for step in (1, 2, 3)]
    async with serve() as manager:
        await manager.create("one", SPEC)
        early = asyncio.create_task(collect(manager.watch("one", 0)))
        await work.began["one"].wait()
        work.go["one"].set()
        events = await early
        assert [event.sequence for event in events] == list(range(1, 7))
        assert [event.state for event in events] == [State.QUEUED, *[State.RUNNING] * 4, State.SUCCEEDED]
        assert [event.progress for event in events] == [None, None, *work.reports, None]
        assert await collect(manager.watch("one", 0)) == events
        assert await collect(manager.watch("one", 4)) == events[4:]
        assert (await manager.get("one")).progress == work.reports[-1]


async def collect(events):
    return [event async for event in events]


async def test_progress_reported_just_before_the_end_is_kept(serve):
    async def execute(job, report):
        report(Progress("save", 1, 1))
        return {}

    async with serve(execute=execute) as manager:
        await manager.create("one", SPEC)
        await ended(manager, "one")
        assert (await manager.get("one")).progress == Progress("save", 1, 1)


async def test_progress_may_be_reported_from_any_thread(serve, job_store):
    async def execute(job, report):
        await asyncio.to_thread(report, Progress("train", 1, 2))
        report(Progress("train", 2, 2, {"loss": float("nan")}))
        return {}

    async with serve(execute=execute) as manager:
        await manager.create("one", SPEC)
        assert (await ended(manager, "one")).progress == Progress("train", 2, 2)
        told = [event.progress for event in (await job_store.events("one", 0))[1] if event.progress]
    assert told == [Progress("train", step, 2) for step in (1, 2)]


async def test_figures_that_are_not_finite_are_dropped(serve, work):
    work.reports = [Progress("train", 1, 1, {"loss": float("nan"), "rate": 0.5, "norm": float("inf")})]
    work.go["one"].set()
    async with serve() as manager:
        await manager.create("one", SPEC)
        assert (await ended(manager, "one")).progress == Progress("train", 1, 1, {"rate": 0.5})


async def test_slots_bound_what_runs_at_once_and_the_queue_is_in_order(serve, work):
    async with serve(slots=2) as manager:
        for id_ in ("a", "b", "c", "d"):
            await manager.create(id_, SPEC)
        await asyncio.gather(work.began["a"].wait(), work.began["b"].wait())
        assert [(await manager.get(id_)).state for id_ in "abcd"] == [State.RUNNING] * 2 + [State.QUEUED] * 2
        work.go["b"].set()
        await work.began["c"].wait()
        assert [(await manager.get(id_)).state for id_ in "bd"] == [State.SUCCEEDED, State.QUEUED]


async def test_a_big_job_waits_for_its_slots_and_the_small_ones_behind_wait_for_it(serve, work):
    async with serve(slots=3, poll_s=60) as manager, asyncio.timeout(5):
        await manager.create("a", SPEC)
        await manager.create("b", SPEC)
        await asyncio.gather(work.began["a"].wait(), work.began["b"].wait())
        await manager.create("big", SPEC, size=3)
        await manager.create("c", SPEC)
        work.go["a"].set()
        await ended(manager, "a")
        await asyncio.sleep(0.1)
        assert [(await manager.get(id_)).state for id_ in ("big", "c")] == [State.QUEUED] * 2
        work.go["b"].set()
        await work.began["big"].wait()
        assert (await manager.get("c")).state is State.QUEUED
        work.go["big"].set()
        await work.began["c"].wait()


async def test_when_a_job_that_all_wait_behind_is_cancelled_they_begin_at_once(serve, work):
    async with serve(slots=2, poll_s=60) as manager, asyncio.timeout(5):
        await manager.create("a", SPEC)
        await work.began["a"].wait()
        await manager.create("big", SPEC, size=2)
        await manager.create("b", SPEC)
        await asyncio.sleep(0.1)
        assert not work.began["b"].is_set()
        await manager.cancel("big")
        await work.began["b"].wait()


async def test_a_job_of_a_higher_priority_overtakes_those_that_wait(serve, work):
    async with serve() as manager:
        await manager.create("running", SPEC)
        await work.began["running"].wait()
        await manager.create("low", SPEC, priority=-1)
        await manager.create("high", SPEC, priority=1)
        work.go["running"].set()
        await work.began["high"].wait()
        assert (await manager.get("low")).state is State.QUEUED


async def test_a_job_that_can_never_fit_is_refused(serve):
    async with serve(slots=2) as manager:
        with pytest.raises(FailedPrecondition, match=r"runs/one needs 3 slots and can never start here: .* has 2"):
            await manager.create("one", SPEC, size=3)
        with pytest.raises(NotFound):
            await manager.get("one")


numbers = itertools.count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.lists(st.tuples(st.integers(-1, 1), st.integers(1, 6), st.integers(0, 5)), max_size=7))
async def test_whatever_the_sizes_and_priorities_slots_are_not_exceeded_and_the_order_is_kept(database, slots, jobs):
    """The jobs are (priority, size, turns of the event loop that they take); those too large are of larger servers."""
    store = JobStore(database, f"runs-{next(numbers)}")
    for number, (priority, size, _) in enumerate(jobs):
        await store.create(str(number), {}, {}, 10, priority, size)
    began, used, most = [], 0, 0

    async def execute(job, report):
        nonlocal used, most
        began.append(int(job.id))
        used += job.size
        most = max(most, used)
        for _ in range(jobs[int(job.id)][2]):
            await asyncio.sleep(0.001)
        used -= job.size
        return {}

    fitting = [number for number, (_, size, _) in enumerate(jobs) if size <= slots]
    manager = JobManager(store, execute, slots=slots, poll_s=60)
    await manager.start()
    async with asyncio.timeout(20):
        for number in fitting:
            await ended(manager, str(number))
    await manager.stop()
    assert began == sorted(fitting, key=lambda number: (-jobs[number][0], number))
    assert most <= slots
    assert (await manager.counts())[State.QUEUED] == len(jobs) - len(fitting)


async def test_a_full_queue_refuses_new_jobs_and_still_finds_old_ones(serve, work):
    async with serve(max_queued=1) as manager:
        await manager.create("running", SPEC)
        await work.began["running"].wait()
        waiting = await manager.create("waiting", SPEC)
        with pytest.raises(ResourceExhausted, match="1 runs are waiting") as caught:
            await manager.create("more", SPEC)
        assert caught.value.retry_after_s > 0
        assert await manager.create("waiting", SPEC) == waiting
        with pytest.raises(NotFound):
            await manager.get("more")


async def test_a_stop_puts_running_jobs_back_and_the_next_server_begins_again(serve, work):
    async with serve() as first:
        await first.create("one", SPEC)
        await first.create("two", SPEC)
        await work.began["one"].wait()
    assert [(await first.get(id_)).state for id_ in ("one", "two")] == [State.QUEUED] * 2
    work.go["one"].set()
    work.go["two"].set()
    async with serve() as second:
        assert [(await ended(second, id_)).state for id_ in ("one", "two")] == [State.SUCCEEDED] * 2
        events = await collect(second.watch("one", 0))
    assert work.attempts == [("one", 1), ("one", 2), ("two", 1)]
    assert [event.state for event in events] == [
        State.QUEUED,
        State.RUNNING,
        State.QUEUED,
        State.RUNNING,
        State.SUCCEEDED,
    ]


async def test_a_job_that_a_killed_server_left_running_begins_again(serve, work, job_store, dead_owner):
    # What a killed server leaves: one job as running, one in the queue.
    for id_ in ("one", "two"):
        await job_store.create(id_, SPEC, {}, 10)
    await job_store.claim(dead_owner, 600)
    work.go["one"].set()
    work.go["two"].set()
    async with serve() as manager:
        assert (await ended(manager, "one")).attempt == 2
        assert (await ended(manager, "two")).attempt == 1


async def test_a_stop_puts_back_a_job_that_was_claimed_at_that_moment(serve, work, job_store, monkeypatch):
    claimed = asyncio.Event()
    async with serve() as manager:
        claim = manager._store.claim

        async def slow_claim(*arguments):
            job = await claim(*arguments)
            if job is not None:
                claimed.set()
                await asyncio.sleep(0.1)
            return job

        monkeypatch.setattr(manager._store, "claim", slow_claim)
        await manager.create("one", SPEC)
        await claimed.wait()
        assert (await job_store.get("one")).state is State.RUNNING
    assert (await job_store.get("one")).state is State.QUEUED
    assert work.attempts == []


@pytest.mark.parametrize("reason", ["cancelled", "stopping"])
async def test_work_is_told_why_it_is_stopped(serve, reason):
    began, seen = asyncio.Event(), []

    async def execute(job, report):
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    async with serve(execute=execute) as manager:
        await manager.create("one", SPEC)
        await began.wait()
        if reason == "cancelled":
            await manager.cancel("one")
    assert seen == [(reason,)]


async def test_work_that_ends_well_while_its_server_stops_has_ended(serve, job_store):
    """As of a run that a stop finds at its last step."""
    began, over = asyncio.Event(), []

    async def execute(job, report):
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"made": 1}

    async with serve(execute=execute, on_end=over.append) as manager:
        await manager.create("one", SPEC)
        await began.wait()
    assert (await job_store.get("one")).result == {"made": 1}
    assert [job.state for job in over] == [State.SUCCEEDED]


async def test_a_job_that_is_cancelled_while_its_server_stops_is_counted_once(serve, job_store):
    began, stopping, cleared, over = asyncio.Event(), asyncio.Event(), asyncio.Event(), []

    async def execute(job, report):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopping.set()
            await cleared.wait()

    async with serve(execute=execute, on_end=over.append) as manager:
        await manager.create("one", SPEC)
        await began.wait()
        stop = asyncio.create_task(manager.stop())
        await stopping.wait()
        cancelling = asyncio.create_task(manager.cancel("one"))
        await asyncio.sleep(0.1)
        cleared.set()
        await stop
        assert (await cancelling).state is State.CANCELLED
    assert [(job.id, job.state) for job in over] == [("one", State.CANCELLED)]


async def test_work_that_is_stopping_is_told_when_it_is_cancelled_or_its_lease_is_lost(serve, elsewhere):
    began, seen = asyncio.Event(), defaultdict(list)

    async def execute(job, report):
        began.set()
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                seen[job.id].append(error.args)
        raise asyncio.CancelledError

    over = []
    async with serve(slots=2, execute=execute, on_end=over.append, lease_s=0.3) as manager:
        for id_ in ("cancelled", "lost"):
            began.clear()
            await manager.create(id_, SPEC)
            await began.wait()
        stop = asyncio.create_task(manager.stop())
        await asyncio.sleep(0.01)
        taken = text("UPDATE jobs SET owner = 'h/b/n/1/1/x' WHERE id = 'lost'")
        await elsewhere.run(lambda session: session.execute(taken))
        assert (await manager.cancel("cancelled")).state is State.CANCELLED
        await stop
    assert seen == {reason: [("stopping",), (reason,)] for reason in ("cancelled", "lost")}
    assert [job.id for job in over] == ["cancelled"]
    assert (await manager.get("lost")).state is State.RUNNING


async def test_a_stop_tells_of_a_job_that_another_server_has_cancelled_unheard(serve, work, job_store):
    """The lease, by whose renewal it would be heard of, is renewed after 5 s."""
    over = []
    async with serve(on_end=over.append) as manager:
        await manager.create("one", SPEC)
        await work.began["one"].wait()
        await job_store.cancel("one")
    assert [(job.id, job.state) for job in over] == [("one", State.CANCELLED)]


async def test_a_stop_waits_for_a_cancelled_job_to_clear_up(serve, job_store):
    began, cleared, seen = asyncio.Event(), asyncio.Event(), []

    async def execute(job, report):
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await cleared.wait()
            seen.append("cleared")

    async with serve(execute=execute) as manager:
        await manager.create("one", SPEC)
        await began.wait()
        cancelling = asyncio.create_task(manager.cancel("one"))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, cleared.set)
    assert seen == ["cleared"]
    assert (await cancelling).state is State.CANCELLED
    assert (await job_store.get("one")).state is State.CANCELLED


async def test_work_that_cancels_itself_fails_and_its_slot_goes_on(serve, work):
    work.error = Cancelled("the teacher hung up")
    for id_ in ("one", "two"):
        work.go[id_].set()
    async with serve() as manager:
        await manager.create("one", SPEC)
        job = await ended(manager, "one")
        assert (job.state, job.error_code) == (State.FAILED, 1)
        work.error = None
        await manager.create("two", SPEC)
        assert (await ended(manager, "two")).state is State.SUCCEEDED


async def test_a_slot_outlives_a_database_that_is_away(serve, work, monkeypatch):
    work.go["one"].set()
    async with serve(poll_s=0.01) as manager:
        claim, failures = manager._store.claim, iter(range(3))

        async def failing_claim(*arguments):
            if next(failures, None) is not None:
                raise OperationalError("SELECT", {}, OSError("the server closed the connection"))
            return await claim(*arguments)

        monkeypatch.setattr(manager._store, "claim", failing_claim)
        await manager.create("one", SPEC)
        assert (await ended(manager, "one")).state is State.SUCCEEDED
    assert next(failures, None) is None


async def test_a_stop_does_not_undo_a_job_that_has_just_ended(serve, work, job_store, monkeypatch):
    """The stop comes after the end is in the database and before the slot hears of it."""
    over, committed, end = [], asyncio.Event(), job_store.end

    async def slow_end(*arguments, **options):
        job = await end(*arguments, **options)
        committed.set()
        await asyncio.sleep(0.1)
        return job

    work.go["one"].set()
    async with serve(on_end=over.append) as manager:
        monkeypatch.setattr(manager._store, "end", slow_end)
        await manager.create("one", SPEC)
        await committed.wait()
    assert (await job_store.get("one")).state is State.SUCCEEDED
    assert [job.id for job in over] == ["one"]


async def test_jobs_are_listed_newest_first_page_by_page(serve):
    async with serve() as manager:
        for number in range(5):
            await manager.create(f"job-{number}", SPEC)
        pages, token = [], ""
        while True:
            jobs, token = await manager.page(2, token)
            pages.append([job.id for job in jobs])
            if not token:
                break
    assert pages == [["job-4", "job-3"], ["job-2", "job-1"], ["job-0"]]


async def test_watchers_of_a_deleted_job_do_not_wait_for_it(serve, job_store):
    async with serve(slots=0, poll_s=60) as manager, asyncio.timeout(5):
        await job_store.create("one", SPEC, {}, 10)
        watching = asyncio.create_task(collect(manager.watch("one", 0)))
        await asyncio.sleep(0.05)
        # As another server cancels it: nobody here is told.
        await job_store.cancel("one")
        cleared = []
        await manager.delete("one", keep(cleared))
        assert [job.id for job in cleared] == ["one"]
        with pytest.raises(NotFound, match="runs/one"):
            await watching
        with pytest.raises(NotFound):
            await manager.delete("one", keep(cleared))


def keep(jobs):
    """Clears nothing, and keeps the jobs that it should have cleared."""

    async def clear(job):
        jobs.append(job)

    return clear


async def test_a_failed_job_is_not_begun_again_while_it_is_deleted(serve, work, elsewhere):
    work.error = FailedPrecondition("not yet")
    work.go["one"].set()
    clearing, go_on = asyncio.Event(), asyncio.Event()

    async def clear(job):
        assert job.state is State.FAILED
        clearing.set()
        await go_on.wait()

    async with serve() as manager, serve(elsewhere) as other:
        await manager.create("one", SPEC)
        await ended(manager, "one")
        deletion = asyncio.create_task(manager.delete("one", clear))
        await clearing.wait()
        for server in (manager, other):
            with pytest.raises(Unavailable, match="runs/one is being deleted"):
                await server.create("one", SPEC)
            with pytest.raises(Unavailable, match="runs/one is being deleted"):
                await server.delete("one", clear)
        # Whoever asked hangs up: it is done all the same.
        deletion.cancel()
        go_on.set()
        async with asyncio.timeout(5):
            while await exists(manager, "one"):
                await asyncio.sleep(0.01)
        assert work.attempts == [("one", 1)]
        assert (await other.create("one", {"epochs": 3})).attempt == 0


async def exists(manager, id_):
    with suppress(NotFound):
        return await manager.get(id_)


async def test_a_job_that_has_begun_again_is_not_deleted(serve, work):
    work.error = FailedPrecondition("not yet")
    work.go["one"].set()
    cleared = []
    async with serve() as manager:
        await manager.create("one", SPEC)
        await ended(manager, "one")
        work.go["one"].clear()
        await manager.create("one", SPEC)
        with pytest.raises(FailedPrecondition, match="cancel it first"):
            await manager.delete("one", keep(cleared))
    assert cleared == []


async def test_a_job_that_cannot_be_cleared_stays_and_may_begin_again(serve, work):
    work.error = FailedPrecondition("not yet")
    work.go["one"].set()

    async def fail(job):
        raise OSError("the store is away")

    async with serve() as manager:
        await manager.create("one", SPEC)
        failed = await ended(manager, "one")
        with pytest.raises(OSError, match="the store is away"):
            await manager.delete("one", fail)
        assert await manager.get("one") == failed
        assert (await manager.create("one", SPEC)).state is State.QUEUED
