from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from w2s.artifacts import ArtifactRef
from w2s.artifacts.tables import write_examples
from w2s.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from w2s.models.inputs import Row
from w2s_supervisor import swap
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.gate import ValidationGate
from w2s_supervisor.swap import SwapMode, Swaps, SwapSpec


@pytest.fixture
async def swaps(registry, new_pool, store):
    """Swaps over a pool, what they said was active, and a short way to run one."""
    pool, told, stages = new_pool(), [], []

    async def on_active(teacher):
        told.append(teacher.id if teacher else None)

    made = Swaps(registry, pool, store, drain_s=5.0, keep_previous=True, on_active=on_active)

    async def run(id_, **fields):
        spec = SwapSpec(teacher=id_, **fields)
        job = SimpleNamespace(spec=spec.model_dump(mode="json"), extra={"teacher": id_})
        return await made.activate(job, lambda progress: stages.append(progress.stage))

    return SimpleNamespace(run=run, pool=pool, told=told, stages=stages, adopt=made.adopt, made=made)


@pytest.fixture
def probe(store):
    """A probe set of four texts, two of which hold `a` and two of which hold `b`; the truth is `a`'s."""
    rows = [("0", "a b", 1), ("1", "a", 1), ("2", "b", 0), ("3", "neither", 0)]
    config = {"label_names": ["no", "yes"]}
    with store.write("datasets", "probe", data_schema="w2s.examples/1", config=config) as draft:
        fields = [{"id": id_, "text": text.replace("neither", "-"), "label": label} for id_, text, label in rows]
        write_examples(draft.path, fields)
    return ArtifactRef(uri=draft.ref.uri)


async def serving(swaps):
    async with swaps.pool.use(None) as slot:
        await slot.backend.label([Row("text")], Lane.ONLINE)
        return slot.teacher.id


async def test_a_swap_goes_through_its_stages_and_is_recorded(swaps, register, registry):
    await register("a", 1)
    await register("b", 2)
    assert await swaps.run("a") == {"found": {}, "previous": ""}
    assert await swaps.run("b") == {"found": {}, "previous": "a"}
    assert swaps.stages == ["load", "gate", "flip", "drain"] * 2
    desired = await registry.desired()
    assert (desired.teacher_id, desired.previous_id, desired.generation) == ("b", "a", 2)
    assert (await serving(swaps), swaps.told, swaps.pool.previous_id) == ("b", ["a", "b"], "a")
    assert sorted(swaps.pool.loaded_ids) == ["a", "b"]


@pytest.mark.parametrize("mode", SwapMode)
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"backend": lambda: DataLoss("its files do not match its manifest")}, DataLoss),
        ({"names": ("no", "yes", "maybe")}, FailedPrecondition),
    ],
)
async def test_a_failed_swap_leaves_the_old_teacher_serving(swaps, register, registry, mode, change, error):
    await register("a", 1)
    await register("b", 2, **change)
    await swaps.run("a")
    before = await registry.desired()
    with pytest.raises(error):
        await swaps.run("b", mode=mode)
    assert (await serving(swaps), await registry.desired()) == ("a", before)
    assert swaps.told[-1] == "a"


async def test_another_label_space_is_refused_unless_meant(swaps, register):
    await register("a", 1)
    await register("b", 2, names=("no", "yes", "maybe"))
    await swaps.run("a")
    with pytest.raises(FailedPrecondition, match=r"\['no', 'yes', 'maybe'\].*allow_other_labels"):
        await swaps.run("b")
    await swaps.run("b", gate=ValidationGate(allow_other_labels=True))
    assert await serving(swaps) == "b"


async def test_the_gate_holds_a_teacher_to_accuracy_and_agreement(swaps, register, probe):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    # b is right on the first and the last text, and agrees with a there.
    floors = {"min_accuracy": 0.5, "min_agreement": 0.5}
    for name in floors:
        gate = ValidationGate(probe=probe, **{**floors, name: 0.51})
        with pytest.raises(FailedPrecondition, match=rf"{name[4:]} of at least 0\.51 on 4 probes, and it is 0\.500"):
            await swaps.run("b", gate=gate)
        assert await serving(swaps) == "a"
    found = await swaps.run("b", gate=ValidationGate(probe=probe, **floors))
    assert found["found"] == {"accuracy": 0.5, "agreement": 0.5}


async def test_a_gate_tries_no_more_probes_than_it_may(swaps, register, probe):
    await register("b", 2)
    found = await swaps.run("b", gate=ValidationGate(probe=probe, max_probes=3))
    assert found["found"] == {"accuracy": pytest.approx(1 / 3)}


async def test_load_only_stops_before_the_flip(swaps, register, registry):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    await swaps.run("b", load_only=True)
    assert (await serving(swaps), sorted(swaps.pool.loaded_ids)) == ("a", ["a", "b"])
    assert (await registry.desired()).teacher_id == "a"


async def test_drain_first_waits_for_calls_frees_the_old_and_holds_new_ones_back(swaps, register, rules, settled):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    old = rules.of("a")
    old.free.clear()
    in_flight = asyncio.create_task(serving(swaps))
    await settled()
    rules.free.clear()
    swap = asyncio.create_task(swaps.run("b", mode=SwapMode.DRAIN_FIRST))
    await settled()
    late = asyncio.create_task(serving(swaps))
    await settled()
    assert (old.closed, in_flight.done(), late.done()) == (False, False, False)
    old.free.set()
    assert await in_flight == "a"
    await settled()
    # The old one is gone before the new one is there, and nobody was refused.
    assert (old.closed, swaps.pool.loaded_ids, late.done(), swaps.told) == (True, [], False, ["a", None])
    rules.free.set()
    await swap
    assert (await late, swaps.told) == ("b", ["a", None, "b"])


async def test_a_cancelled_drain_first_brings_the_old_teacher_back(swaps, register, rules, settled):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    rules.free.clear()
    swap = asyncio.create_task(swaps.run("b", mode=SwapMode.DRAIN_FIRST))
    await settled()
    late = asyncio.create_task(serving(swaps))
    swap.cancel()
    await settled()
    rules.free.set()
    with pytest.raises(asyncio.CancelledError):
        await swap
    assert (await late, swaps.told) == ("a", ["a", None, "a"])


async def test_a_swap_cancelled_while_it_loads_changes_nothing(swaps, register, rules, registry, settled):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    rules.free.clear()
    swap = asyncio.create_task(swaps.run("b"))
    await settled()
    swap.cancel()
    with pytest.raises(asyncio.CancelledError):
        await swap
    assert (await serving(swaps), (await registry.desired()).teacher_id, swaps.pool.loaded_ids) == ("a", "a", ["a"])


async def test_the_old_teacher_is_freed_where_it_is_not_kept(registry, new_pool, store, register, rules, swaps):
    async def nobody(teacher):
        pass

    made = Swaps(registry, swaps.pool, store, drain_s=5.0, keep_previous=False, on_active=nobody)
    for id_, number in (("a", 1), ("b", 2)):
        await register(id_, number)
        job = SimpleNamespace(spec=SwapSpec(teacher=id_).model_dump(mode="json"), extra={"teacher": id_})
        await made.activate(job, lambda progress: None)
    assert (swaps.pool.loaded_ids, rules.of("a").closed) == (["b"], True)


async def test_a_replica_adopts_what_another_made_desired(swaps, register, registry):
    await register("a", 1)
    desired = await registry.set_desired("a", drain_first=False)
    await swaps.adopt(desired)
    assert await serving(swaps) == "a"
    loaded = len(swaps.told)
    await swaps.adopt(desired)
    assert len(swaps.told) == loaded


async def test_a_teacher_unregistered_meanwhile_is_not_flipped_to(swaps, register, registry, rules, settled):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    rules.free.clear()
    swap = asyncio.create_task(swaps.run("b"))
    await settled()
    await registry.unregister("b")
    rules.free.set()
    with pytest.raises(NotFound):
        await swap
    assert await serving(swaps) == "a"


async def test_a_teacher_in_the_gate_is_in_use_and_so_not_evicted(swaps, register, monkeypatch):
    seen = []

    async def examine(slot, *_):
        seen.append((slot.teacher.id, slot.uses))
        return {}

    monkeypatch.setattr(swap, "_examine", examine)
    await register("a", 1)
    await register("b", 2)
    for mode in (SwapMode.BESIDE, SwapMode.DRAIN_FIRST):
        for id_ in "ab":
            await swaps.run(id_, mode=mode)
    assert seen == [("a", 1), ("b", 1)] * 2
    assert swaps.pool.active.uses == 0


async def test_a_cancellation_after_the_flip_comes_too_late(swaps, register, rules, registry, settled):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    old = rules.of("a")
    old.free.clear()
    in_flight = asyncio.create_task(serving(swaps))
    await settled()
    swap = asyncio.create_task(swaps.run("b"))
    await settled()
    assert swaps.stages[-1] == "drain"
    swap.cancel()
    assert await swap == {"found": {}, "previous": "a"}
    old.free.set()
    assert (await in_flight, await serving(swaps), (await registry.desired()).teacher_id) == ("a", "b", "b")


async def test_calls_that_do_not_end_do_not_hold_all_others_back(
    registry, new_pool, store, register, rules, swaps, settled
):
    async def nobody(teacher):
        pass

    made = Swaps(registry, swaps.pool, store, drain_s=0.1, keep_previous=True, on_active=nobody)
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")
    rules.of("a").free.clear()
    stuck = asyncio.create_task(serving(swaps))
    await settled()
    spec = SwapSpec(teacher="b", mode=SwapMode.DRAIN_FIRST).model_dump(mode="json")
    with pytest.raises(FailedPrecondition, match=r"calls still use teachers/a after 0\.1 s"):
        await made.activate(SimpleNamespace(spec=spec, extra={"teacher": "b"}), lambda progress: None)
    rules.of("a").free.set()
    assert (await stuck, await serving(swaps)) == ("a", "a")


async def test_what_fails_before_it_loads_does_not_cost_the_old_teacher(swaps, register, rules, monkeypatch):
    await register("a", 1)
    await register("b", 2)
    await swaps.run("a")

    async def damaged(teacher):
        raise DataLoss("its files do not match its manifest")

    monkeypatch.setattr(rules, "prepare", damaged)
    with pytest.raises(DataLoss):
        await swaps.run("b", mode=SwapMode.DRAIN_FIRST)
    assert (swaps.told, rules.of("a").closed) == (["a"], False)


async def test_a_probe_without_examples_is_refused(swaps, register, store):
    await register("a", 1)
    config = {"label_names": ["no", "yes"]}
    with store.write("datasets", "empty", data_schema="w2s.examples/1", config=config) as draft:
        write_examples(draft.path, [])
    with pytest.raises(InvalidArgument, match=r"gate\.probe: has no examples"):
        await swaps.run("a", gate=ValidationGate(probe=draft.ref, min_accuracy=1.0))


async def test_a_floor_on_agreement_needs_someone_to_agree_with(swaps, register, probe):
    await register("a", 1)
    with pytest.raises(FailedPrecondition, match="agreement with the teacher it follows, and it follows none"):
        await swaps.run("a", gate=ValidationGate(probe=probe, min_agreement=0.5))
