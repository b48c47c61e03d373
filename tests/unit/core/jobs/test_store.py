from __future__ import annotations

from datetime import UTC

import pytest

from w2s.errors import InvalidArgument
from w2s.jobs import JobStore, Progress, State
from w2s.paging import encode_token


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


async def test_an_ended_job_neither_ends_nor_goes_on_again(job_store):
    await job_store.create("one", {}, {}, 10)
    await job_store.begin("one")
    job = await job_store.end("one", State.SUCCEEDED, result={"a": 1})
    assert await job_store.end("one", State.CANCELLED) == job
    assert await job_store.begin("one") is None
    await job_store.report("one", Progress("late"))
    await job_store.requeue("one")
    assert await job_store.get("one") == job


async def test_times_are_utc(job_store):
    await job_store.create("one", {}, {}, 10)
    job, (event,) = await job_store.events("one", 0)
    assert job.create_time.tzinfo is event.time.tzinfo is UTC
