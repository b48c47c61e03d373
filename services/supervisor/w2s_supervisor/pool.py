"""The teachers in memory: loaded beside one another, counted while in use, flipped by one reference."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from w2s.errors import FailedPrecondition, W2SError
from w2s.models.inputs import Completion, Row, Sampling
from w2s_supervisor.backends.protocol import Ability, Backend, Lane
from w2s_supervisor.teachers import Teacher

log = logging.getLogger(__name__)

# What a model takes beside its weights, as a share of them.
_HEADROOM = 1.2


@dataclass(frozen=True)
class Prepared:
    """Weights that are here and verified.

    Attributes:
        path: Where they are; None for a teacher elsewhere.
        size: Bytes that they take in memory.
    """

    path: Path | None = None
    size: int = 0


class Loader(Protocol):
    """Makes backends."""

    async def prepare(self, teacher: Teacher) -> Prepared:
        """Fetches and verifies a teacher's weights."""

    async def open(self, teacher: Teacher, prepared: Prepared) -> Backend:
        """Loads a teacher."""


class Slot:
    """A teacher in memory, how many calls use it, and how many ensembles hold it."""

    def __init__(self, teacher: Teacher, backend: Backend, size: int) -> None:
        self.teacher = teacher
        self.backend = backend
        self.size = size
        self.uses = self.holds = 0
        self._idle, self._free = asyncio.Event(), asyncio.Event()
        self._count(0, 0)

    @contextmanager
    def taken(self) -> Iterator[Slot]:
        """Counts a call for as long as the block runs."""
        self._count(1, 0)
        try:
            yield self
        finally:
            self._count(-1, 0)

    async def idle(self) -> None:
        """Returns once no call uses it."""
        await self._idle.wait()

    async def free(self) -> None:
        """Returns once no call uses it and no ensemble holds it."""
        await self._free.wait()

    def _count(self, uses: int, holds: int) -> None:
        self.uses, self.holds = self.uses + uses, self.holds + holds
        for event, taken in ((self._idle, self.uses), (self._free, self.uses + self.holds)):
            event.clear() if taken else event.set()


class Hold:
    """Keeps a member of an ensemble in memory: no call, so that a swap does not wait for its end.

    Attributes:
        backend: The member's.
    """

    def __init__(self, slot: Slot) -> None:
        self.backend = slot.backend
        self._slot = slot
        slot._count(0, 1)

    def release(self) -> None:
        """Lets go of it."""
        self._slot._count(0, -1)


class TeacherPool:
    """Holds teachers in memory.

    A call takes the slot it begins with and keeps it to its end, so a flip never touches it.

    Args:
        loader: Makes backends.
        max_loaded: Teachers kept, the active and the previous one included; more may be in use.
        free_bytes: Memory left for teachers, given what the loaded ones take.
    """

    def __init__(self, loader: Loader, max_loaded: int, free_bytes: Callable[[int], int]) -> None:
        self._loader = loader
        self._max_loaded = max_loaded
        self._free_bytes = free_bytes
        self._slots: OrderedDict[tuple[str, str], Slot] = OrderedDict()
        # Ensembles have a lock of their own: loading one loads its members.
        self._locks = {False: asyncio.Lock(), True: asyncio.Lock()}
        self._loads: dict[tuple[str, str], asyncio.Task[Slot]] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._freeing: set[asyncio.Task[None]] = set()
        self.active: Slot | None = None
        self.previous_id = ""

    def loaded(self, teacher: Teacher) -> Slot | None:
        """A teacher's slot, when it is in memory."""
        return self._slots.get(_key(teacher))

    @property
    def teachers(self) -> list[Teacher]:
        """The teachers in memory."""
        return [slot.teacher for slot in self._slots.values()]

    @property
    def loaded_ids(self) -> list[str]:
        """The ids of the teachers in memory."""
        return [id_ for id_, _ in self._slots]

    @asynccontextmanager
    async def use(self, teacher: Teacher | None) -> AsyncIterator[Slot]:
        """A teacher for the length of one call; None for the active one.

        Raises:
            FailedPrecondition: None is active, or it does not fit into memory.
            W2SError: It cannot be loaded.
        """
        await self._open.wait()
        slot = self.active if teacher is None else await self.load(teacher)
        if slot is None:
            raise FailedPrecondition("no teacher is active; activate one, or name one in `teacher`")
        # Nothing is awaited between finding the slot and taking it, so it cannot be freed in between.
        with slot.taken():
            yield slot

    async def prepare(self, teacher: Teacher) -> Prepared:
        """A teacher's weights, fetched and verified; nothing is loaded yet.

        Raises:
            W2SError: They cannot be had, or are others now.
        """
        return await self._loader.prepare(teacher)

    async def load(self, teacher: Teacher, prepared: Prepared | None = None) -> Slot:
        """A teacher in memory, verified, loaded and warmed first where it is not.

        All who ask for it wait for one load, which goes on when they give up.

        Args:
            teacher: The teacher.
            prepared: Its weights, where they are known already.

        Raises:
            FailedPrecondition: It does not fit beside what must stay.
            W2SError: It cannot be loaded, or gives answers that are none.
        """
        key = _key(teacher)
        while (slot := self._slots.get(key)) is None:
            if key not in self._loads:
                self._loads[key] = asyncio.create_task(self._load(teacher, prepared))
                self._loads[key].add_done_callback(lambda task: self._loaded(key, task))
            await asyncio.shield(self._loads[key])
        self._slots.move_to_end(key)
        return slot

    def flip(self, slot: Slot, previous_id: str) -> None:
        """Makes a slot the one that answers calls that name no teacher, from the next call on."""
        self.active = slot
        self.previous_id = previous_id

    async def unload(self, teacher: Teacher) -> None:
        """Frees a teacher once nothing uses it; nothing happens when it is not in memory.

        Raises:
            FailedPrecondition: It is the active one, or a member of an ensemble in memory.
        """
        slot = self.loaded(teacher)
        if slot is None:
            return
        if slot is self.active:
            raise FailedPrecondition(f"{teacher.name} is active; activate another first")
        if slot.holds:
            raise FailedPrecondition(f"{teacher.name} is a member of an ensemble in memory; unload that first")
        # Out of the table first: new calls load it anew rather than wait for this one's end.
        del self._slots[_key(teacher)]
        freeing = asyncio.create_task(_free(slot))
        self._freeing.add(freeing)
        freeing.add_done_callback(self._freeing.discard)
        await asyncio.shield(freeing)

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Has calls that have not begun wait until the block ends."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    async def drop_active(self) -> None:
        """Frees the active teacher once its calls have ended. Use inside `closed`."""
        slot = self.active
        if slot is None:
            return
        await slot.idle()
        # No ensemble is half loaded while this is held: those that hold the teacher are known.
        async with self._locks[True]:
            for other in list(self._slots.values()):
                ensemble = other.teacher.spec.ensemble
                if ensemble and slot.teacher.id in ensemble.member_ids:
                    await self.unload(other.teacher)
            self.active = None
            await self.unload(slot.teacher)

    async def trim(self) -> None:
        """Frees the teachers used longest ago until no more are kept than may be."""
        while len(self._slots) > self._max_loaded and (idle := self._evictable()):
            await self.unload(idle[0].teacher)

    async def close(self) -> None:
        """Ends the loads and frees every teacher."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        self.active = None
        # An ensemble lets go of its members first.
        for slot in sorted(self._slots.values(), key=lambda slot: slot.teacher.spec.ensemble is None):
            await self.unload(slot.teacher)

    async def _load(self, teacher: Teacher, prepared: Prepared | None) -> Slot:
        async with self._locks[teacher.spec.ensemble is not None]:
            prepared = prepared or await self.prepare(teacher)
            await self._make_room(teacher, prepared.size)
            slot = Slot(teacher, await self._loader.open(teacher, prepared), prepared.size)
            try:
                await warm_up(slot)
            except BaseException:
                await slot.backend.close()
                raise
            self._slots[_key(teacher)] = slot
        # Held while older ones go, so that it is not among them.
        with slot.taken():
            await self.trim()
        return slot

    def _loaded(self, key: tuple[str, str], task: asyncio.Task[Slot]) -> None:
        del self._loads[key]
        if not task.cancelled() and (error := task.exception()):
            # Whoever asked for it may have given up.
            log.warning("a teacher could not be loaded", extra={"teacher": key[0], "reason": str(error)})

    async def _make_room(self, teacher: Teacher, size: int) -> None:
        if not size:
            return
        needed = int(size * _HEADROOM)
        while self._left() < needed:
            # An ensemble has no size, and lets go of members that have.
            idle = [slot for slot in self._evictable() if slot.size or slot.teacher.spec.ensemble]
            if not idle:
                raise FailedPrecondition(
                    f"{teacher.name} needs {needed >> 20} MiB and {self._left() >> 20} MiB are free: activate it with "
                    "SWAP_MODE_DRAIN_FIRST, or raise memory_mib"
                )
            await self.unload(idle[0].teacher)

    def _left(self) -> int:
        return self._free_bytes(sum(slot.size for slot in self._slots.values()))

    def _evictable(self) -> list[Slot]:
        """Slots that nothing uses or holds, those used longest ago first and the previous teacher last."""
        idle = [slot for slot in self._slots.values() if not (slot.uses or slot.holds) and slot is not self.active]
        return sorted(idle, key=lambda slot: slot.teacher.id == self.previous_id)


def _key(teacher: Teacher) -> tuple[str, str]:
    # An id that was registered anew may stand for another model.
    return teacher.id, teacher.digest


async def _free(slot: Slot) -> None:
    await slot.free()
    await slot.backend.close()
    log.info("teacher freed", extra={"teacher": slot.teacher.name, "digest": slot.teacher.digest})


async def warm_up(slot: Slot) -> None:
    """Has a teacher answer once, and checks what it says: label and score, or generate where it does neither.

    Raises:
        FailedPrecondition: An answer is not finite, or not of the teacher's classes.
        W2SError: It does not answer.
    """
    teacher, backend = slot.teacher, slot.backend
    if Ability.LABEL in teacher.abilities:
        row = Row("A text to warm up with.", "A second text." if backend.needs_pairs else "")
        (label,) = await backend.label([row], Lane.BULK)
        if isinstance(label, W2SError):
            raise FailedPrecondition(f"{teacher.name} cannot label a warm-up text: {label.message}")
        if label.probabilities.shape != (len(teacher.label_names),):
            found = len(label.probabilities)
            raise FailedPrecondition(f"{teacher.name} gives {found} classes, not {len(teacher.label_names)}")
    if Ability.SCORE in teacher.abilities:
        (score,) = await backend.score([Completion("A prompt to warm up with.", " And its completion.")], Lane.BULK)
        if isinstance(score, W2SError):
            raise FailedPrecondition(f"{teacher.name} cannot score a warm-up text: {score.message}")
    elif Ability.GENERATE in teacher.abilities:
        async with aclosing(backend.generate(Sampling("A prompt to warm up with.", max_new_tokens=1))) as pieces:
            async for _ in pieces:
                pass
