from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from w2s.database import lease_clock
from w2s.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from w2s.jobs import JobStore, Progress, State
from w2s.jobs.owner import new_owner
from w2s.jobs.store import Lease
from w2s.paging import encode_token

OWNER, OTHER = new_owner(), new_owner()
LONG_S, SHORT_S = 600, 0.05


async def test_kinds_share_a_database_and_nothing_else(database):
    runs, evaluations = JobStore(database, "runs"), JobStore(database, "evaluations")
    await runs.create("one", {"a": 1}, {}, 10)
    other, queued = await evaluations.create("one", {"b": 2}, {}, 10)
    assert (queued, other.spec, other.kind) == (True, {"b": 2}, "evaluations")
    assert [job.kind for job in (await runs.page(10, ""))[0]] == ["runs"]
    assert [event.sequence for event in (await evaluations.events("one", 0))[1]] == [1]


async def test_a_page_that_is_just_full_is_the_last(job_store):
    for id_ in ("a", "b"):
        await job_store.create(id_, {}, {}, 10)
    jobs, token = await job_store.page(2, "")
    assert ([job.id for job in jobs], token) == (["b", "a"], "")


async def test_a_new_job_does_not_shift_the_pages_behind_it(job_store):
    for id_ in ("a", "b", "c"):
        await job_store.create(id_, {}, {}, 10)
    _, token = await job_store.page(1, "")
    await job_store.create("d", {}, {}, 10)
    jobs, _ = await job_store.page(10, token)
    assert [job.id for job in jobs] == ["b", "a"]


@pytest.mark.parametrize("key", ["", "one", "-1", "²", "9" * 30], ids=ascii)
async def test_a_token_of_another_list_is_refused(job_store, key):
    with pytest.raises(InvalidArgument, match="page_token"):
        await job_store.page(10, encode_token(key) or "AA==")


async def test_pages_of_some_states_leave_no_job_out_and_show_no_other(job_store):
    for number in range(6):
        await job_store.create(f"job-{number}", {}, {}, 10)
    for id_ in ("job-1", "job-4"):
        await job_store.cancel(id_)
    pages, token = [], ""
    while True:
        jobs, token = await job_store.page(2, token, [State.QUEUED, State.RUNNING])
        pages.append([job.id for job in jobs])
        if not token:
            break
    assert pages == [["job-5", "job-3"], ["job-2", "job-0"]]
    assert [job.id for job in (await job_store.page(10, "", [State.CANCELLED]))[0]] == ["job-4", "job-1"]
    assert await job_store.page(10, "", [State.FAILED]) == ([], "")


async def test_jobs_are_counted_by_state_and_each_kind_for_itself(database, job_store):
    for number in range(4):
        await job_store.create(f"job-{number}", {}, {}, 10)
    await JobStore(database, "evaluations").create("other", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    await job_store.cancel("job-3")
    counts = {State.QUEUED: 2, State.RUNNING: 1, State.SUCCEEDED: 0, State.FAILED: 0, State.CANCELLED: 1}
    assert await job_store.counts() == counts


async def test_a_deleted_job_leaves_nothing_and_its_id_is_free(database, job_store):
    for id_ in ("one", "two"):
        await job_store.create(id_, {"a": 1}, {}, 10)
        await job_store.cancel(id_)
    await job_store.condemn("one", OWNER)
    await job_store.delete("one", OWNER)
    with pytest.raises(NotFound, match="runs/one"):
        await job_store.get("one")
    left = await database.run(lambda session: session.scalars(text("SELECT job_id FROM job_events")).all())
    assert left == ["two", "two"]
    job, queued = await job_store.create("one", {"b": 2}, {}, 10)
    assert (job.spec, job.attempt, queued) == ({"b": 2}, 0, True)


async def test_a_job_that_has_not_ended_is_not_deleted(job_store):
    for id_ in ("running", "queued"):
        await job_store.create(id_, {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    for id_ in ("running", "queued"):
        with pytest.raises(FailedPrecondition, match=f"runs/{id_} has not ended; cancel it first"):
            await job_store.condemn(id_, OTHER)
    with pytest.raises(NotFound, match="runs/none"):
        await job_store.condemn("none", OTHER)


async def test_only_who_condemned_a_job_deletes_or_spares_it(job_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.cancel("one")
    await job_store.condemn("one", OWNER)
    await job_store.spare("one", OTHER)
    await job_store.delete("one", OTHER)
    with pytest.raises(Unavailable, match="runs/one is being deleted"):
        await job_store.create("one", {}, {}, 10)
    await job_store.spare("one", OWNER)
    assert (await job_store.create("one", {}, {}, 10))[0].state is State.CANCELLED


@pytest.mark.parametrize("cut", ["killed", "lost"])
async def test_a_deletion_that_was_cut_short_holds_nothing_up(job_store, database, dead_owner, monkeypatch, cut):
    if cut == "lost":
        monkeypatch.setattr("w2s.jobs.store._DELETION", timedelta(0))
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    await job_store.end("one", OWNER, State.FAILED)
    await job_store.condemn("one", dead_owner if cut == "killed" else OWNER)
    assert (await job_store.create("one", {}, {}, 10))[0].state is State.QUEUED
    # Whoever was cut off finds another's job.
    await job_store.delete("one", OWNER)
    assert (await job_store.get("one")).state is State.QUEUED


async def test_whoever_lost_a_job_that_is_deleted_meanwhile_has_lost_it(job_store, other_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, SHORT_S)
    await asyncio.sleep(SHORT_S)
    await other_store.claim(OTHER, LONG_S)
    await other_store.end("one", OTHER, State.SUCCEEDED)
    await other_store.condemn("one", OTHER)
    await other_store.delete("one", OTHER)
    assert await job_store.renew("one", OWNER, LONG_S) is Lease.LOST
    assert await job_store.end("one", OWNER, State.SUCCEEDED) is None
    await job_store.report("one", OWNER, Progress("late"))


async def test_an_ended_job_neither_ends_nor_goes_on_again(job_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    job = await job_store.end("one", OWNER, State.SUCCEEDED, result={"a": 1})
    assert job.result == {"a": 1}
    assert await job_store.end("one", OWNER, State.FAILED) is None
    assert await job_store.cancel("one") == (job, False)
    assert await job_store.claim(OWNER, LONG_S) is None
    await job_store.report("one", OWNER, Progress("late"))
    await job_store.release(OWNER)
    assert await job_store.get("one") == job


async def test_each_job_is_claimed_once_and_the_oldest_first(job_store, other_store):
    for number in range(10):
        await job_store.create(f"job-{number}", {}, {}, 10)

    async def claim_all(store, owner):
        return [job.id for _ in range(10) if (job := await store.claim(owner, LONG_S))]

    mine, theirs = await asyncio.gather(claim_all(job_store, OWNER), claim_all(other_store, OTHER))
    assert sorted(mine + theirs) == [f"job-{number}" for number in range(10)]
    assert (mine, theirs) == (sorted(mine), sorted(theirs))


async def claim_of(store, **room):
    """The id of what a claim in some slots gets, or None."""
    job = await store.claim(OWNER, LONG_S, (), **room)
    return job and job.id


async def test_jobs_are_claimed_by_priority_and_then_by_age(job_store):
    for id_, priority in (("a", 0), ("b", 5), ("c", -1), ("d", 5)):
        await job_store.create(id_, {}, {}, 10, priority)
    assert [await claim_of(job_store) for _ in range(5)] == ["b", "d", "a", "c", None]


async def test_a_job_that_does_not_fit_into_what_is_free_holds_back_all_behind_it(job_store):
    await job_store.create("big", {}, {}, 10, size=3)
    await job_store.create("small", {}, {}, 10)
    assert await claim_of(job_store, slots=4, free=2) is None
    assert await claim_of(job_store, slots=4, free=3) == "big"
    assert await claim_of(job_store, slots=4, free=1) == "small"


async def test_a_job_that_no_free_slots_would_hold_is_left_to_larger_servers(job_store):
    await job_store.create("big", {}, {}, 10, size=3)
    await job_store.create("small", {}, {}, 10)
    assert await claim_of(job_store, slots=2, free=2) == "small"
    assert await claim_of(job_store, slots=2, free=2) is None
    assert await claim_of(job_store, slots=3, free=3) == "big"


async def test_an_abandoned_job_is_taken_over_under_the_rule_of_the_queued_ones(job_store, dead_owner):
    await job_store.create("left", {}, {}, 10, size=2)
    await job_store.claim(dead_owner, LONG_S)
    await job_store.create("small", {}, {}, 10)
    await job_store.create("urgent", {}, {}, 10, 1)
    assert await claim_of(job_store, slots=2, free=1) == "urgent"
    assert await claim_of(job_store, slots=2, free=1) is None
    assert await claim_of(job_store, slots=1, free=1) == "small"
    assert await claim_of(job_store, slots=2, free=2) == "left"


async def test_an_abandoned_job_that_is_to_be_cancelled_needs_no_free_slots(job_store):
    await job_store.create("one", {}, {}, 10, size=2)
    await job_store.claim(OTHER, SHORT_S)
    await job_store.cancel("one")
    await asyncio.sleep(SHORT_S)
    assert (await job_store.claim(OWNER, LONG_S, (), 2, 1)).state is State.CANCELLED


async def test_a_repeated_request_is_the_same_whatever_its_priority_and_size(job_store):
    first, _ = await job_store.create("one", {}, {}, 10, 1, 2, slots=2)
    assert (first.priority, first.size) == (1, 2)
    assert await job_store.create("one", {}, {"name": "x"}, 10, 3, 4, slots=2) == (first, False)


async def test_a_failed_job_is_queued_again_as_it_is_asked_for_now(job_store):
    await job_store.create("one", {}, {"name": "x"}, 10, 1, 2)
    await job_store.claim(OWNER, LONG_S)
    await job_store.end("one", OWNER, State.FAILED, code=13, message="too large")
    with pytest.raises(FailedPrecondition, match=r"runs/one needs 4 slots and can never start here: .* has 3"):
        await job_store.create("one", {}, {}, 10, size=4, slots=3)
    job, queued = await job_store.create("one", {}, {"name": "y"}, 10, 3, 1)
    assert (queued, job.extra, job.priority, job.size) == (True, {"name": "y"}, 3, 1)


async def test_jobs_that_two_servers_add_at_once_are_all_listed(job_store, other_store):
    names = [f"job-{number}" for number in range(10)]
    await asyncio.gather(*(store.create(name, {}, {}, 100) for name in names for store in (job_store, other_store)))
    first, token = await job_store.page(5, "")
    second, end = await other_store.page(5, token)
    assert (sorted(job.id for job in first + second), end) == (names, "")


async def test_a_create_that_another_server_forestalls_is_tried_again(job_store, other_store, database, monkeypatch):
    """SQLite lets nobody in between; PostgreSQL says so when a transaction that read before ends too late."""
    run, late = database.run, []

    async def forestalled_run(work):
        if not late:
            late.append(await other_store.create("one", {}, {}, 10))
            raise IntegrityError("INSERT", {}, Exception("duplicate key"))
        return await run(work)

    monkeypatch.setattr(database, "run", forestalled_run)
    assert await job_store.create("one", {}, {}, 10) == (late[0][0], False)


async def test_a_lease_that_is_renewed_keeps_the_job(job_store, other_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, SHORT_S)
    assert await job_store.renew("one", OWNER, LONG_S) is Lease.HELD
    await asyncio.sleep(SHORT_S)
    assert await other_store.claim(OTHER, LONG_S) is None


async def test_a_job_whose_lease_has_ended_is_taken_over_and_its_old_owner_changes_nothing(job_store, other_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, SHORT_S)
    await asyncio.sleep(SHORT_S)
    job = await other_store.claim(OTHER, LONG_S)
    assert (job.id, job.attempt) == ("one", 2)
    await job_store.report("one", OWNER, Progress("late"))
    await job_store.release(OWNER)
    assert await job_store.end("one", OWNER, State.SUCCEEDED, result={}) is None
    assert await job_store.renew("one", OWNER, LONG_S) is Lease.LOST
    found, events = await job_store.events("one", 0)
    assert (found, len(events)) == (job, 3)
    assert (await other_store.end("one", OTHER, State.SUCCEEDED)).state is State.SUCCEEDED


async def test_the_job_of_a_dead_owner_is_taken_over_at_once(job_store, dead_owner):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(dead_owner, LONG_S)
    assert (await job_store.claim(OWNER, LONG_S)).attempt == 2


async def test_an_owner_does_not_claim_what_it_still_executes(job_store, other_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, SHORT_S)
    await asyncio.sleep(SHORT_S)
    assert await job_store.claim(OWNER, LONG_S, ["one"]) is None
    assert (await other_store.claim(OTHER, LONG_S, ["two"])).attempt == 2


async def test_a_release_gives_back_only_the_owners_jobs(job_store):
    for id_ in ("one", "two"):
        await job_store.create(id_, {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    await job_store.claim(OTHER, LONG_S)
    await job_store.release(OWNER)
    assert [(await job_store.get(id_)).state for id_ in ("one", "two")] == [State.QUEUED, State.RUNNING]
    assert (await job_store.claim(OTHER, LONG_S)).id == "one"


async def test_a_queued_job_is_cancelled_at_once_and_a_running_one_by_its_owner(job_store, other_store):
    for id_ in ("running", "queued"):
        await job_store.create(id_, {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    queued, ended = await other_store.cancel("queued")
    assert (queued.state, ended) == (State.CANCELLED, True)
    running, ended = await other_store.cancel("running")
    assert (running.state, ended) == (State.RUNNING, False)
    assert await job_store.renew("running", OWNER, LONG_S) is Lease.CANCELLED
    assert (await job_store.end("running", OWNER, State.CANCELLED)).state is State.CANCELLED


async def test_a_cancelled_job_is_not_given_back(job_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    await job_store.cancel("one")
    ended = await job_store.release(OWNER)
    assert [job.state for job in ended] == [State.CANCELLED]
    assert await job_store.get("one") == ended[0]


async def test_a_job_that_was_to_be_cancelled_when_its_lease_ended_is_not_begun_again(job_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, SHORT_S)
    await job_store.cancel("one")
    await asyncio.sleep(SHORT_S)
    job = await job_store.claim(OTHER, LONG_S)
    assert (job.state, job.attempt) == (State.CANCELLED, 1)


async def test_the_job_of_a_dead_owner_is_cancelled_at_once(job_store, dead_owner):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(dead_owner, LONG_S)
    assert (await job_store.cancel("one"))[0].state is State.CANCELLED


async def test_a_failed_job_that_was_to_be_cancelled_may_begin_again(job_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    await job_store.cancel("one")
    await job_store.end("one", OWNER, State.FAILED, code=13, message="too late")
    await job_store.create("one", {}, {}, 10)
    assert (await job_store.claim(OWNER, LONG_S)).state is State.RUNNING


@pytest.mark.parametrize("again", ["released", "failed"])
async def test_a_job_that_is_cancelled_in_the_queue_says_nothing_of_the_attempt_before(job_store, again):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    await job_store.report("one", OWNER, Progress("train", 5, 9))
    if again == "failed":
        await job_store.end("one", OWNER, State.FAILED, code=13, message="out of memory")
        await job_store.create("one", {}, {}, 10)
    else:
        await job_store.release(OWNER)
    job, ended = await job_store.cancel("one")
    assert (job.state, job.attempt, ended) == (State.CANCELLED, 1, True)
    assert (job.start_time, job.progress, job.result) == (None, None, None)
    assert (job.error_code, job.error_message) == (0, "")


async def test_times_are_utc(job_store):
    await job_store.create("one", {}, {}, 10)
    job, (event,) = await job_store.events("one", 0)
    assert job.create_time.tzinfo is event.time.tzinfo is UTC


@pytest.fixture(params=[-3600, 3600])
def jump(request, monkeypatch):
    """Sets the time of day an hour back or forth, as the stores' databases tell it."""

    def set_clock():
        moved = timedelta(seconds=request.param)
        clock = SimpleNamespace(now=lambda zone: datetime.now(zone) + moved, fromtimestamp=datetime.fromtimestamp)
        monkeypatch.setattr("w2s.database.datetime", clock)

    return set_clock


async def test_a_lease_neither_ends_nor_lasts_when_the_clock_of_the_host_is_set(job_store, other_store, jump):
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, 0.6)
    jump()
    assert await other_store.claim(OTHER, LONG_S) is None
    assert await job_store.renew("one", OWNER, 0.2) is Lease.HELD
    await asyncio.sleep(0.25)
    assert (await other_store.claim(OTHER, LONG_S)).attempt == 2


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_databases_clock_that_is_set_costs_an_attempt_at_most(job_store, other_store, monkeypatch, seconds):
    """That of a PostgreSQL server is the one clock there is: no job hangs, and its former owner changes nothing."""
    await job_store.create("one", {}, {}, 10)
    await job_store.claim(OWNER, LONG_S)
    monkeypatch.setattr("w2s.jobs.store.lease_clock", lambda session: lease_clock(session) + timedelta(seconds=seconds))
    assert (await other_store.claim(OTHER, LONG_S)).attempt == 2
    assert await job_store.renew("one", OWNER, LONG_S) is Lease.LOST
    assert await job_store.end("one", OWNER, State.SUCCEEDED) is None
    assert await job_store.claim(OWNER, LONG_S) is None
