from __future__ import annotations

import dataclasses

import pytest

from w2s.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from w2s_supervisor.backends.protocol import Ability, Identity
from w2s_supervisor.spec import TeacherSpec
from w2s_supervisor.teachers import Desired

ENSEMBLE = TeacherSpec.model_validate({"ensemble": {"members": ["teachers/a", "teachers/b"]}})
VOTERS = Identity("mean", f"sha256:{9:064x}", ("no", "yes"), frozenset({Ability.LABEL, Ability.COMPARE}))


async def test_a_teacher_comes_back_as_it_was(registry, register):
    made = await register("a", 1, names=("x", "y", "z"))
    assert await registry.get("a") == made
    assert (made.name, made.version) == ("teachers/a", ("teachers/a", "run", f"sha256:{1:064x}"))
    voters = await registry.register("voters", ENSEMBLE, VOTERS)
    assert (await registry.get("voters")).identity == voters.identity == VOTERS


async def test_the_same_teacher_twice_is_one(registry, register):
    first = await register("a", 1)
    assert await register("a", 1) == first
    with pytest.raises(AlreadyExists, match="teachers/a is another teacher"):
        await register("a", 2)
    with pytest.raises(AlreadyExists):
        await registry.register("a", ENSEMBLE, dataclasses.replace(VOTERS, digest=first.digest))


async def test_pages_are_oldest_first_and_go_on_after_a_teacher_is_gone(registry, register):
    for number, id_ in enumerate("dacb"):
        await register(id_, number)
    page, token = await registry.page(2, "")
    await registry.unregister("a")
    rest, end = await registry.page(2, token)
    assert ([teacher.id for teacher in page], [teacher.id for teacher in rest], end) == (["d", "a"], ["c", "b"], "")
    with pytest.raises(InvalidArgument, match="page_token"):
        await registry.page(2, "Zm9v")


async def test_desired_remembers_the_one_before(registry, register):
    for number, id_ in enumerate("ab"):
        await register(id_, number)
    assert await registry.desired() == Desired(0, "", "")
    assert await registry.set_desired("a", drain_first=False) == Desired(1, "a", "")
    assert await registry.set_desired("b", drain_first=True) == Desired(2, "b", "a", True)
    # Made active once more, it does not become its own way back.
    assert await registry.set_desired("b", drain_first=False) == Desired(3, "b", "a")
    assert await registry.desired() == Desired(3, "b", "a")
    with pytest.raises(NotFound):
        await registry.set_desired("c", drain_first=False)


async def test_what_is_needed_is_not_unregistered(registry, register):
    for number, id_ in enumerate("abc"):
        await register(id_, number)
    await registry.register("voters", ENSEMBLE, VOTERS)
    await registry.set_desired("b", drain_first=False)
    await registry.set_desired("c", drain_first=False)
    with pytest.raises(FailedPrecondition, match="teachers/c is active"):
        await registry.unregister("c")
    with pytest.raises(FailedPrecondition, match="member of teachers/voters; unregister that first"):
        await registry.unregister("b")
    await registry.unregister("voters")
    await registry.unregister("b")
    with pytest.raises(NotFound):
        await registry.get("b")
    with pytest.raises(NotFound):
        await registry.unregister("b")
    # There is nothing to go back to any more.
    assert await registry.desired() == Desired(2, "c", "")
