from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.errors import Internal, ResourceExhausted
from w2s_supervisor.batching import Batcher, select


@dataclass(frozen=True)
class Sequence:
    name: int
    length: int = 10


class Record:
    """Remembers what the queue said."""

    def __init__(self):
        self.waiting, self.waits, self.batches, self.failures = [], [], [], 0

    def queued(self, waiting):
        self.waiting.append(waiting)

    def waited(self, seconds):
        self.waits.append(seconds)

    def batched(self, items, tokens):
        self.batches.append((items, tokens))

    def failed(self):
        self.failures += 1


class Model:
    """Answers a sequence with its name, and can be held up; sequences named below 0 break their batch."""

    def __init__(self):
        self.batches = []
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, batch):
        self.batches.append([item.name for item in batch])
        await self.free.wait()
        if any(item.name < 0 for item in batch):
            raise RuntimeError("the weights cannot bear it")
        return [np.array([item.name], dtype=np.float32) for item in batch]


@pytest.fixture
async def queue():
    """Makes a queue over a model: `queue(token_budget=40)`; gives both, and the record."""
    batchers = []

    def make(**options):
        model, record = Model(), Record()
        settings = {"token_budget": 100, "max_waiting": 100, "max_delay_s": 0.0, **options}
        batchers.append(Batcher(model, observer=record, **settings))
        return batchers[-1], model, record

    yield make
    for batcher in batchers:
        await batcher.close()


def names(results):
    return [int(result[0]) for result in results]


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60), st.integers(1, 4096))
def test_a_batch_holds_the_oldest_within_its_bounds(lengths, budget):
    chosen = select(lengths, budget)
    taken = [lengths[index] for index in chosen]
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    if len(chosen) > 1:
        assert max(taken) * len(taken) <= budget
        assert max(taken) * len(taken) <= 1.2 * sum(taken)
    # What was left out lies outside the lengths taken.
    left = [length for index, length in enumerate(lengths) if index not in chosen]
    assert all(length <= min(taken) or length >= max(taken) for length in left)


def test_equal_lengths_fill_the_budget():
    assert select([8] * 10, 64) == list(range(8))


def test_neighbours_in_length_go_first():
    assert select([50, 400, 48, 2, 52, 390], 160) == [0, 2, 4]


async def test_callers_share_a_batch_and_get_their_own(queue):
    batcher, model, record = queue()
    model.free.clear()
    blocker = asyncio.create_task(batcher.ask([Sequence(0)], wait=False))
    await settled()
    calls = [asyncio.create_task(batcher.ask([Sequence(n), Sequence(n + 10)], wait=False)) for n in (1, 2, 3)]
    await settled()
    model.free.set()
    assert [names(await call) for call in calls] == [[1, 11], [2, 12], [3, 13]]
    await blocker
    assert model.batches == [[0], [1, 11, 2, 12, 3, 13]]
    assert record.batches == [(1, 10), (6, 60)]
    assert len(record.waits) == 7


async def test_a_bad_sequence_fails_alone(queue):
    batcher, _, record = queue()
    results = await batcher.ask([Sequence(n) for n in (1, -2, 3, 4, 5)], wait=False)
    assert record.failures == 1
    assert isinstance(results[1], Internal)
    assert names([results[0], *results[2:]]) == [1, 3, 4, 5]


async def test_what_nobody_waits_for_is_not_computed(queue):
    batcher, model, _ = queue()
    model.free.clear()
    blocker = asyncio.create_task(batcher.ask([Sequence(0)], wait=False))
    await settled()
    gone, stays = (asyncio.create_task(batcher.ask([Sequence(n)], wait=False)) for n in (1, 2))
    await settled()
    gone.cancel()
    await settled()
    model.free.set()
    assert names(await stays) == [2]
    await blocker
    assert model.batches == [[0], [2]]


async def test_a_full_queue_refuses_and_says_when_to_come_back(queue):
    batcher, model, _ = queue(max_waiting=3)
    model.free.clear()
    calls = [asyncio.create_task(batcher.ask([Sequence(0)], wait=False))]
    await settled()
    calls.append(asyncio.create_task(batcher.ask([Sequence(1), Sequence(2)], wait=False)))
    await settled()
    with pytest.raises(ResourceExhausted, match="2 sequences wait for the teacher, and 3 may") as caught:
        await batcher.ask([Sequence(3), Sequence(4)], wait=False)
    assert caught.value.retry_after_s > 0
    model.free.set()
    assert [names(await call) for call in calls] == [[0], [1, 2]]
    # There is room again.
    assert names(await batcher.ask([Sequence(5)], wait=False)) == [5]


async def test_more_than_the_queue_holds_is_let_into_an_empty_one(queue):
    batcher, _, _ = queue(max_waiting=2)
    assert names(await batcher.ask([Sequence(n) for n in range(5)], wait=False)) == list(range(5))


async def test_a_stream_waits_for_room_in_turn(queue):
    batcher, model, record = queue(max_waiting=2, token_budget=20)
    model.free.clear()
    calls = []
    for n in range(8):
        calls.append(asyncio.create_task(batcher.ask([Sequence(n)], wait=True)))
        await settled()
    assert max(record.waiting) == 2
    model.free.set()
    assert [names(await call) for call in calls] == [[n] for n in range(8)]
    assert [name for batch in model.batches for name in batch] == list(range(8))


async def test_a_stream_that_gives_up_lets_the_next_one_in(queue):
    batcher, model, _ = queue(max_waiting=1)
    model.free.clear()
    calls = []
    for n in range(4):
        calls.append(asyncio.create_task(batcher.ask([Sequence(n)], wait=True)))
        await settled()
    calls[2].cancel()
    await settled()
    model.free.set()
    assert names(await calls[3]) == [3]
    assert model.batches == [[0], [1], [3]]


async def test_batches_of_a_bulk_caller_are_taken_whole_two_at_once(queue):
    batcher, model, _ = queue(token_budget=20)
    model.free.clear()
    bulk = [asyncio.create_task(batcher.ask_batch([Sequence(n), Sequence(n + 1), Sequence(n)])) for n in (10, 20, 30)]
    await settled()
    online = asyncio.create_task(batcher.ask([Sequence(0)], wait=False))
    await settled()
    # The third waits, and whoever asks online need not wait for it.
    assert model.batches == [[10, 11, 10], [20, 21, 20], [0]]
    model.free.set()
    assert [names(await call) for call in bulk] == [[10, 11, 10], [20, 21, 20], [30, 31, 30]]
    assert names(await online) == [0]


async def test_a_batch_waits_to_fill_and_no_longer_than_it_may(queue):
    batcher, model, _ = queue(max_delay_s=0.2)
    loop = asyncio.get_running_loop()
    start = loop.time()
    first = asyncio.create_task(batcher.ask([Sequence(0)], wait=False))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(batcher.ask([Sequence(1)], wait=False))
    assert names([*await first, *await second]) == [0, 1]
    assert model.batches == [[0, 1]]
    assert 0.15 < loop.time() - start < 2


async def test_a_full_batch_does_not_wait(queue):
    batcher, _, _ = queue(max_delay_s=30.0, token_budget=30)
    assert names(await asyncio.wait_for(batcher.ask([Sequence(n) for n in range(3)], wait=False), 5)) == [0, 1, 2]
