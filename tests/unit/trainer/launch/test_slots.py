from __future__ import annotations

import asyncio

import pytest

from w2s.errors import InvalidArgument
from w2s_trainer.launch.slots import Slots, slot_count


@pytest.fixture
def gpus(monkeypatch):
    """Says which GPUs are visible."""
    return lambda names: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


@pytest.mark.parametrize(
    ("variable", "fields", "count"),
    [
        ("", {}, 1),
        ("0,1,2", {}, 3),
        ("0,1,2", {"slots": 2}, 2),
        ("", {"slots": 4}, 4),
        ("0,1,2", {"device": "cpu"}, 1),
        ("0,1,2", {"launcher": "kubernetes"}, 1),
    ],
)
def test_there_is_a_slot_a_gpu_unless_said_otherwise(gpus, settings, variable, fields, count):
    gpus(variable)
    assert slot_count(settings(**{"device": "auto", **fields})) == count


def test_what_does_not_fit_the_gpus_is_refused(gpus, settings):
    gpus("0,1")
    with pytest.raises(InvalidArgument, match="slots: at most 2, one for each GPU, got 3"):
        Slots(settings(device="cuda", slots=3))
    with pytest.raises(InvalidArgument, match="device"):
        Slots(settings(device="cuda:1"))


async def test_a_slot_is_a_gpu_and_is_held_once(gpus, settings):
    gpus("4,5,6")
    slots = Slots(settings(device="cuda"))
    async with slots.hold(2) as two, slots.hold(1) as one:
        assert (two, one) == ([0, 1], [2])
        assert (slots.gpus(two), slots.gpus(one)) == (["4", "5"], ["6"])
    async with slots.hold(3) as three:
        assert three == [0, 1, 2]


async def test_without_gpus_a_slot_has_none(gpus, settings):
    gpus("")
    slots = Slots(settings(slots=2))
    async with slots.hold(2) as held:
        assert slots.gpus(held) == []


async def test_who_waits_first_is_served_first_and_who_gives_up_is_forgotten(settings):
    slots = Slots(settings(slots=2))
    order = []

    async def run(name, size):
        async with slots.hold(size):
            order.append(name)
            await asyncio.sleep(0.01)

    async with slots.hold(1):
        large = asyncio.create_task(run("large", 2))
        await asyncio.sleep(0)
        small = asyncio.create_task(run("small", 1))
        patient = asyncio.create_task(run("patient", 2))
        await asyncio.sleep(0.02)
        # One is free, and the large one was first.
        assert order == []
        large.cancel()
        await asyncio.wait([large])
        await asyncio.sleep(0)
        assert order == ["small"]
    await asyncio.gather(small, patient)
    assert order == ["small", "patient"]


async def test_slots_of_a_cancelled_run_come_back(settings):
    slots = Slots(settings(slots=1))

    async def run():
        async with slots.hold(1):
            await asyncio.sleep(60)

    running, waiting = asyncio.create_task(run()), asyncio.create_task(run())
    await asyncio.sleep(0)
    # Granted and cancelled in one turn of the loop.
    running.cancel()
    waiting.cancel()
    await asyncio.wait([running, waiting])
    async with asyncio.timeout(1), slots.hold(1) as held:
        assert held == [0]
