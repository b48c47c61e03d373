"""Makes teachers active: load, warm, gate, flip, drain; any failure leaves the old one serving."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from w2s.artifacts import ArtifactStore
from w2s.errors import FailedPrecondition
from w2s.jobs import Job, Progress, Report
from w2s_supervisor.gate import Probes, ValidationGate, answer, check_answers, check_label_space, read_probes
from w2s_supervisor.pool import Slot, TeacherPool
from w2s_supervisor.teachers import Desired, Teacher, TeacherRegistry

log = logging.getLogger(__name__)

_STAGES = ("load", "gate", "flip", "drain")


class SwapMode(StrEnum):
    """How the new teacher takes the old one's place; the values are the names of the proto enum."""

    BESIDE = "SWAP_MODE_BESIDE"
    DRAIN_FIRST = "SWAP_MODE_DRAIN_FIRST"


class SwapSpec(BaseModel):
    """What an activation does.

    Attributes:
        teacher: The teacher's id; empty for the one before (a rollback).
        mode: How it takes the old one's place.
        gate: What it must pass.
        load_only: Stops before the flip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str = ""
    mode: SwapMode = SwapMode.BESIDE
    gate: ValidationGate = ValidationGate()
    load_only: bool = False


class Swaps:
    """Makes teachers active, one at a time.

    Args:
        registry: The teachers, and which one is desired.
        pool: The teachers in memory.
        store: Where probe sets are.
        drain_s: Seconds that calls on the old teacher get before a swap counts as done.
        keep_previous: Keeps the old teacher in memory, for a quick way back.
        on_active: Told the active teacher whenever it changes; None for none.
    """

    def __init__(
        self,
        registry: TeacherRegistry,
        pool: TeacherPool,
        store: ArtifactStore,
        *,
        drain_s: float,
        keep_previous: bool,
        on_active: Callable[[Teacher | None], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._store = store
        self._drain_s = drain_s
        self._keep_previous = keep_previous
        self._on_active = on_active
        self._lock = asyncio.Lock()
        self.generation = 0

    async def activate(self, job: Job, report: Report) -> dict[str, Any]:
        """Does an activation's work; returns what the gate found and who was active before.

        Raises:
            FailedPrecondition: The teacher does not fit into memory, or fails the gate.
            W2SError: It cannot be loaded.
        """
        spec = SwapSpec.model_validate(job.spec)
        teacher = await self._registry.get(job.extra["teacher"])
        async with self._lock:
            old = self._pool.active
            _stage(report, "load")
            probes = await read_probes(self._store, spec.gate)
            before = await answer(old, probes) if probes and old and spec.gate.min_agreement is not None else None
            async with self._place(teacher, spec.mode is SwapMode.DRAIN_FIRST) as slot:
                _stage(report, "gate")
                found = await _examine(slot, old, spec.gate, probes, before)
                if spec.load_only:
                    return {"found": found, "previous": ""}
                _stage(report, "flip", found)
                await _to_its_end(self._flip(slot, spec.mode is SwapMode.DRAIN_FIRST))
            _stage(report, "drain", found)
            # It has happened: whoever cancels it now comes too late.
            with suppress(asyncio.CancelledError):
                await self._drain(old)
        return {"found": found, "previous": old.teacher.id if old else ""}

    async def adopt(self, desired: Desired) -> None:
        """Makes the desired teacher the active one here, where it is not already.

        Raises:
            W2SError: It cannot be loaded; the old one goes on serving.
        """
        async with self._lock:
            if self._pool.active and self.generation >= desired.generation:
                return
            old = self._pool.active
            async with self._place(await self._registry.get(desired.teacher_id), desired.drain_first) as slot:
                await self._serve(slot, desired)
            await self._drain(old)

    @asynccontextmanager
    async def _place(self, teacher: Teacher, drain_first: bool) -> AsyncIterator[Slot]:
        """The teacher in memory, beside the old one or in its place; a failure brings the old one back.

        It is in use while the block runs, so that nothing frees it before it is active.
        """
        old = self._pool.active
        if not drain_first or (old is not None and old.teacher == teacher):
            with (await self._pool.load(teacher)).taken() as slot:
                yield slot
            return
        # What can fail without the old one's memory fails before that is given up.
        prepared = await self._pool.prepare(teacher)
        async with self._pool.closed():
            try:
                await self._empty(old)
                await self._pool.drop_active()
                await self._on_active(None)
                with (await self._pool.load(teacher, prepared)).taken() as slot:
                    yield slot
            except BaseException:
                if old is not None and self._pool.active is None:
                    await _to_its_end(self._restore(old.teacher))
                raise

    async def _empty(self, old: Slot | None) -> None:
        """Returns once no call uses the old teacher; calls that do not end must not hold all others back."""
        try:
            async with asyncio.timeout(self._drain_s):
                if old is not None:
                    await old.idle()
        except TimeoutError:
            raise FailedPrecondition(
                f"calls still use {old.teacher.name if old else ''} after {self._drain_s:g} s (swap_drain_s); try again"
            ) from None

    async def _restore(self, teacher: Teacher) -> None:
        slot = await self._pool.load(teacher)
        self._pool.flip(slot, self._pool.previous_id)
        await self._on_active(teacher)

    async def _flip(self, slot: Slot, drain_first: bool) -> None:
        await self._serve(slot, await self._registry.set_desired(slot.teacher.id, drain_first))

    async def _serve(self, slot: Slot, desired: Desired) -> None:
        self._pool.flip(slot, desired.previous_id)
        self.generation = desired.generation
        await self._on_active(slot.teacher)
        log.info("teacher activated", extra={"teacher": slot.teacher.name, "digest": slot.teacher.digest})

    async def _drain(self, old: Slot | None) -> None:
        """Lets calls on the old teacher end; what outlasts `drain_s` ends on it too, unwatched."""
        if old is None or old is self._pool.active:
            return
        try:
            async with asyncio.timeout(self._drain_s):
                await old.idle()
                if not (self._keep_previous or old.holds):
                    await self._pool.unload(old.teacher)
        except TimeoutError:
            log.warning("calls still use the old teacher", extra={"teacher": old.teacher.name, "calls": old.uses})


async def _examine(
    slot: Slot, old: Slot | None, gate: ValidationGate, probes: Probes | None, before: NDArray[np.int64] | None
) -> dict[str, float]:
    check_label_space(slot, old, gate)
    return check_answers(gate, probes, await answer(slot, probes), before) if probes else {}


def _stage(report: Report, stage: str, metrics: dict[str, float] | None = None) -> None:
    report(Progress(stage, _STAGES.index(stage), len(_STAGES), metrics or {}))


async def _to_its_end(work: Awaitable[None]) -> None:
    """Awaits what must not stop half-way: a cancellation that comes meanwhile comes too late."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    task.result()
