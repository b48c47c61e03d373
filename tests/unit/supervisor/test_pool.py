from __future__ import annotations

import asyncio

import numpy as np
import pytest

from w2s.errors import DataLoss, FailedPrecondition, Unavailable
from w2s.models.inputs import Row
from w2s_supervisor.backends.protocol import Backend, Labelled, Lane
from w2s_supervisor.pool import Hold

ROW = Row("a text")


class Wrong(Backend):
    """Gives what it is told to for every row."""

    def __init__(self, answer):
        self.answer = answer
        self.closed = False

    async def label(self, rows, lane):
        return [self.answer] * len(rows)

    async def close(self):
        self.closed = True


async def test_a_teacher_is_loaded_once_for_all_who_ask(new_pool, register, rules):
    pool, teacher = new_pool(), await register("a", 1)
    slots = await asyncio.gather(*(pool.load(teacher) for _ in range(5)))
    assert len({id(slot) for slot in slots}) == 1
    assert len(rules.opened) == 1


async def test_a_call_keeps_its_teacher_over_a_flip_and_an_unload(new_pool, register, rules, settled):
    pool = new_pool()
    old, new = [await register(id_, n) for n, id_ in enumerate("ab")]
    pool.flip(await pool.load(old), "")
    async with pool.use(None) as slot:
        pool.flip(await pool.load(new), "a")
        unloading = asyncio.create_task(pool.unload(old))
        await settled()
        assert (slot.teacher, rules.of("a").closed, pool.loaded_ids) == (old, False, ["b"])
        assert isinstance((await slot.backend.label([ROW], Lane.ONLINE))[0], Labelled)
        async with pool.use(None) as other:
            assert other.teacher == new
    await unloading
    assert rules.of("a").closed


async def test_unload_outlives_the_caller_who_gives_up(new_pool, register, rules, settled):
    pool, teacher = new_pool(), await register("a", 1)
    async with pool.use(teacher):
        unloading = asyncio.create_task(pool.unload(teacher))
        await settled()
        unloading.cancel()
        await settled()
        assert not rules.of("a").closed
    await settled()
    assert rules.of("a").closed


async def test_the_active_teacher_is_not_unloaded(new_pool, register):
    pool, teacher = new_pool(), await register("a", 1)
    pool.flip(await pool.load(teacher), "")
    with pytest.raises(FailedPrecondition, match="teachers/a is active; activate another first"):
        await pool.unload(teacher)
    async with pool.use(None) as slot:
        assert slot.teacher == teacher


async def test_without_an_active_teacher_a_call_must_name_one(new_pool):
    with pytest.raises(FailedPrecondition, match="no teacher is active"):
        async with new_pool().use(None):
            pass


async def test_the_least_used_go_first_and_the_previous_last(new_pool, register):
    pool = new_pool(max_loaded=3)
    teachers = {id_: await register(id_, n) for n, id_ in enumerate("abcde")}
    pool.flip(await pool.load(teachers["a"]), "b")
    for id_ in "bcd":
        await pool.load(teachers[id_])
    assert sorted(pool.loaded_ids) == ["a", "b", "d"]
    await pool.load(teachers["e"])
    assert sorted(pool.loaded_ids) == ["a", "b", "e"]


async def test_what_is_in_use_is_not_evicted(new_pool, register):
    pool = new_pool(max_loaded=1)
    first, second = [await register(id_, n) for n, id_ in enumerate("ab")]
    async with pool.use(first):
        await pool.load(second)
        assert pool.loaded_ids == ["a", "b"]


async def test_room_is_made_and_what_does_not_fit_is_refused(new_pool, register, rules):
    pool = new_pool(max_loaded=9, memory=100 << 20)
    teachers = {id_: await register(id_, n) for n, id_ in enumerate("abcd")}
    rules.sizes = {"a": 40 << 20, "b": 30 << 20, "c": 50 << 20, "d": 90 << 20}
    pool.flip(await pool.load(teachers["a"]), "")
    await pool.load(teachers["b"])
    # 40 + 30 are taken: 1.2 times 50 fits only once b is gone.
    await pool.load(teachers["c"])
    assert sorted(pool.loaded_ids) == ["a", "c"]
    with pytest.raises(FailedPrecondition, match=r"teachers/d needs 108 MiB and 60 MiB are free.*DRAIN_FIRST"):
        await pool.load(teachers["d"])
    async with pool.use(None) as slot:
        assert slot.teacher == teachers["a"]


async def test_a_teacher_that_was_registered_anew_is_loaded_anew(new_pool, register, registry, rules):
    pool, old = new_pool(), await register("a", 1)
    await pool.load(old)
    await registry.unregister("a")
    new = await register("a", 2)
    slot = await pool.load(new)
    assert (slot.teacher.digest, len(rules.opened)) == (new.digest, 2)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Unavailable("the model gives NaN"), "cannot label a warm-up text: the model gives NaN"),
        (Labelled(np.zeros(3, np.float32), np.full(3, 1 / 3, np.float32)), "gives 3 classes, not 2"),
    ],
)
async def test_a_teacher_whose_answers_are_none_is_not_kept(new_pool, register, answer, problem):
    backend = Wrong(answer)
    pool, teacher = new_pool(), await register("a", 1, lambda: backend)
    with pytest.raises(FailedPrecondition, match=problem):
        await pool.load(teacher)
    assert (pool.loaded_ids, backend.closed) == ([], True)


async def test_a_load_that_fails_leaves_nothing_and_can_be_tried_again(new_pool, register, rules):
    pool, teacher = new_pool(), await register("a", 1, lambda: DataLoss("its files do not match"))
    with pytest.raises(DataLoss):
        await pool.load(teacher)
    await register("a", 1)
    assert (await pool.load(teacher)).teacher == teacher


async def test_calls_wait_while_the_pool_is_closed(new_pool, register, settled):
    pool, teacher = new_pool(), await register("a", 1)
    pool.flip(await pool.load(teacher), "")

    async def call():
        async with pool.use(None) as slot:
            return slot.teacher.id

    async with pool.closed():
        waiting = asyncio.create_task(call())
        await settled()
        assert not waiting.done()
    assert await waiting == "a"


async def test_a_load_goes_on_for_the_others_when_one_gives_up(new_pool, register, rules, settled):
    pool, teacher = new_pool(), await register("a", 1)
    rules.free.clear()
    impatient, patient = (asyncio.create_task(pool.load(teacher)) for _ in range(2))
    await settled()
    impatient.cancel()
    await settled()
    rules.free.set()
    assert (await patient).teacher == teacher
    assert len(rules.opened) == 1


async def test_a_member_that_an_ensemble_holds_is_not_unloaded(new_pool, register):
    pool, teacher = new_pool(), await register("a", 1)
    hold = Hold(await pool.load(teacher))
    with pytest.raises(FailedPrecondition, match="member of an ensemble in memory; unload that first"):
        await pool.unload(teacher)
    hold.release()
    await pool.unload(teacher)
    assert pool.loaded_ids == []


async def test_a_teacher_unloaded_while_it_is_loaded_is_still_given(new_pool, register, rules, settled):
    pool = new_pool(max_loaded=1)
    first, second = [await register(id_, n) for n, id_ in enumerate("ab")]
    async with pool.use(first):
        loading = asyncio.create_task(pool.load(second))
        await settled()
        await pool.unload(second)
        assert (await loading).teacher == second
