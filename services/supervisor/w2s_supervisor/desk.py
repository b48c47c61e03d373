"""Where questions come in: finds the teacher that is meant, asks it, and counts the answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.models.inputs import Completion, Piece, Row, Sampling
from w2s_supervisor.backends.protocol import Ability, Labelled, Lane, Preferred, Scored
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.pool import Slot, TeacherPool
from w2s_supervisor.teachers import Teacher, TeacherRegistry

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """Which teacher a question is for.

    Attributes:
        teacher_id: Its id; empty for the active one.
        required_digest: The digest it must have; empty for any.
    """

    teacher_id: str = ""
    required_digest: str = ""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a teacher said.

    Attributes:
        teacher: Who said it, all of it.
        values: One value a question, in their order; an error where there is no answer.
    """

    teacher: Teacher
    values: list[T | W2SError]


class Desk:
    """Asks teachers.

    Args:
        registry: The teachers.
        pool: Those in memory.
        metrics: Counts answers.
    """

    def __init__(self, registry: TeacherRegistry, pool: TeacherPool, metrics: SupervisorMetrics) -> None:
        self._registry = registry
        self._pool = pool
        self._metrics = metrics

    async def label(
        self, target: Target, rows: Sequence[Row], lane: Lane, pair_field: str = "examples[{}].text_pair"
    ) -> Answer[Labelled]:
        """Labels rows.

        Args:
            target: Who is asked.
            rows: What to label, at least one.
            lane: How to wait.
            pair_field: The request field of a row's second text, to name when it is missing.

        Raises:
            NotFound: There is no such teacher.
            FailedPrecondition: None is active, it cannot label, or its digest is another.
            InvalidArgument: The teacher judges pairs, and a row is none.
            ResourceExhausted, Unavailable, DeadlineExceeded: As the backend says.
        """
        async with self._asked(target, Ability.LABEL) as slot:
            for index, row in enumerate(rows):
                if slot.backend.needs_pairs and not row.pair:
                    raise InvalidArgument(pair_field.format(index), f"is required: {slot.teacher.name} judges pairs")
            values = await slot.backend.label(rows, lane)
        self._metrics.labelled(slot.teacher, values)
        return Answer(slot.teacher, values)

    async def score(self, target: Target, completions: Sequence[Completion], lane: Lane) -> Answer[Scored]:
        """Scores completions; errors as `label`."""
        async with self._asked(target, Ability.SCORE) as slot:
            return Answer(slot.teacher, await slot.backend.score(completions, lane))

    async def compare(
        self, target: Target, pairs: Sequence[tuple[Completion, Completion]], length_normalized: bool, lane: Lane
    ) -> Answer[Preferred]:
        """Compares pairs of completions; errors as `label`."""
        async with self._asked(target, Ability.COMPARE) as slot:
            return Answer(slot.teacher, await slot.backend.compare(pairs, length_normalized, lane))

    async def generate(
        self, target: Target, samplings: Sequence[Sampling]
    ) -> AsyncGenerator[tuple[Teacher, Piece], None]:
        """Continues prompts, piece by piece, each with its teacher; errors as `label`."""
        async with (
            self._asked(target, Ability.GENERATE) as slot,
            aclosing(slot.backend.generate(*samplings)) as pieces,
        ):
            async for piece in pieces:
                self._metrics.generated(slot.teacher, piece.tokens)
                yield slot.teacher, piece

    async def teacher(self, target: Target) -> Teacher:
        """The teacher that is meant, known to have the required digest.

        Raises:
            NotFound, FailedPrecondition: As `label`.
        """
        id_ = target.teacher_id
        if not id_ and self._pool.active is None:
            # Between the old teacher and the new one of a DRAIN_FIRST swap, none is in memory.
            id_ = (await self._registry.desired()).teacher_id
        if id_:
            teacher = await self._registry.get(id_)
        elif self._pool.active:
            teacher = self._pool.active.teacher
        else:
            raise FailedPrecondition("no teacher is active; activate one, or name one in `teacher`")
        _check_digest(teacher, target)
        return teacher

    async def teachers(self) -> list[Teacher]:
        """Every registered teacher, oldest first."""
        found: list[Teacher] = []
        token = ""
        while True:
            page, token = await self._registry.page(1000, token)
            found += page
            if not token:
                return found

    def is_ready(self, teacher_id: str) -> bool:
        """Whether a teacher answers at once here; for an empty id, whether one is active."""
        return teacher_id in self._pool.loaded_ids if teacher_id else self._pool.active is not None

    async def load(self, teacher_id: str) -> None:
        """Takes a teacher into memory; errors as `TeacherPool.load`."""
        await self._pool.load(await self._registry.get(teacher_id))

    async def unload(self, teacher_id: str) -> None:
        """Takes a teacher out of memory; FailedPrecondition for the active one."""
        await self._pool.unload(await self._registry.get(teacher_id))

    @asynccontextmanager
    async def _asked(self, target: Target, ability: Ability) -> AsyncIterator[Slot]:
        teacher = await self.teacher(target) if target.teacher_id else None
        async with self._pool.use(teacher) as slot:
            _check_digest(slot.teacher, target)
            if ability not in slot.teacher.abilities:
                able = ", ".join(sorted(slot.teacher.abilities))
                raise FailedPrecondition(f"{slot.teacher.name} has no {ability.value}, only {able}")
            yield slot


def _check_digest(teacher: Teacher, target: Target) -> None:
    if target.required_digest and teacher.digest != target.required_digest:
        raise FailedPrecondition(f"{teacher.name} has digest {teacher.digest}, not {target.required_digest}")
