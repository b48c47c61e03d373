from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from w2s.database import now
from w2s.errors import Unavailable
from w2s_supervisor.replicas import Follower, ReplicaBoard, ReplicaStatus, TeacherState
from w2s_supervisor.swap import Swaps

from .conftest import Rule


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def board(database):
    return ReplicaBoard(database)


@pytest.fixture
def gone():
    """The teachers that replicas were told are gone."""
    return []


@pytest.fixture
def follower(registry, board, new_pool, store, gone):
    """Makes a replica: `follower("one")`."""

    async def nobody(teacher):
        pass

    def make(name, clock=None):
        pool = new_pool()
        swaps = Swaps(registry, pool, store, drain_s=1.0, keep_previous=True, on_active=nobody)
        return Follower(registry, board, pool, swaps, gone.append, name, poll_s=0.05, clock=clock or Clock())

    return make


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (ReplicaStatus(), TeacherState.REGISTERED),
        (ReplicaStatus(loaded=("a",)), TeacherState.LOADED),
        (ReplicaStatus(active="a", target="a", loaded=("a",)), TeacherState.ACTIVE),
        (ReplicaStatus(active="b", target="a"), TeacherState.LOADING),
        (ReplicaStatus(active="b", target="a", failure="no memory"), TeacherState.FAILED),
        (ReplicaStatus(active="a", target="b", failure="no memory"), TeacherState.ACTIVE),
    ],
)
def test_where_a_teacher_stands(status, state):
    assert status.of("a") is state


async def test_replicas_converge_and_tell(follower, registry, board, register):
    await register("a", 1)
    one, two = follower("one"), follower("two")
    for replica in (one, two):
        await replica.start()
    await registry.set_desired("a", drain_first=False)
    async with asyncio.timeout(10):
        while {replica.status.of("a") for replica in await board.living()} != {TeacherState.ACTIVE}:
            await asyncio.sleep(0.02)
    assert [replica.name for replica in await board.living()] == ["one", "two"]
    assert {pool.active.teacher.id for pool in (one.pool, two.pool)} == {"a"}
    await one.stop()
    assert [replica.name for replica in await board.living()] == ["two"]
    await two.stop()


async def test_a_replica_that_cannot_follow_serves_on_says_why_and_tries_again_later(
    follower, registry, board, register
):
    clock = Clock()
    replica = follower("one", clock)
    await register("a", 1)
    await register("b", 2, lambda: Unavailable("the weights are on a disk that is away"))
    await registry.set_desired("a", drain_first=False)
    await replica.follow()
    await registry.set_desired("b", drain_first=False)
    await replica.follow()
    (said,) = await board.living()
    assert (said.status.of("a"), said.status.of("b")) == (TeacherState.ACTIVE, TeacherState.FAILED)
    assert said.status.failure == "the weights are on a disk that is away"

    await register("b", 2, lambda: Rule("b"))
    clock.now += 5
    await replica.follow()
    assert replica.pool.active.teacher.id == "a"
    clock.now += 30
    await replica.follow()
    (said,) = await board.living()
    assert (said.status.of("b"), said.status.failure) == (TeacherState.ACTIVE, "")


async def test_a_replica_is_heard_of_as_long_as_it_lives(follower, board):
    clock = Clock()
    replica = follower("one", clock)
    await replica.follow()
    first = (await board.living())[0].update_time
    assert (datetime.now(UTC) - first).total_seconds() < 5
    await replica.follow()
    assert (await board.living())[0].update_time == first
    clock.now += 3
    await replica.follow()
    assert (await board.living())[0].update_time > first


async def test_a_teacher_unregistered_elsewhere_is_told_of(follower, registry, register, gone):
    replica = follower("one")
    teacher = await register("a", 1)
    await replica.pool.load(teacher)
    await replica.follow()
    assert gone == []
    await registry.unregister("a")
    await replica.follow()
    assert gone == [teacher]


async def test_an_unexpected_error_does_not_keep_a_replica_from_starting(follower, registry, board, register):
    await register("a", 1, lambda: OSError("the disk is away"))
    await registry.set_desired("a", drain_first=False)
    replica = follower("one")
    await replica.start()
    (said,) = await board.living()
    assert (said.status.of("a"), said.status.failure) == (
        TeacherState.FAILED,
        "it cannot be loaded; the replica's log says more",
    )
    await replica.stop()


async def test_a_clock_that_is_set_back_brings_no_dead_replica_back(follower, board, monkeypatch):
    one, two = follower("one"), follower("two")
    await one.follow()
    await two.follow()
    earlier = timedelta(hours=-1)
    monkeypatch.setattr("w2s_supervisor.replicas.now", lambda session: now(session) + earlier)
    assert await board.living() == []
    one.clock.now += 3
    await one.follow()
    assert [replica.name for replica in await board.living()] == ["one"]
