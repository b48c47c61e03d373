"""Gets the labels that a student's observations wait for, at the student's rate."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from w2s.database import Database
from w2s_evaluator.monitor.observation import current_seconds
from w2s_evaluator.monitor.oracle import Oracle, Refusal, Said
from w2s_evaluator.monitor.pace import Pace
from w2s_evaluator.monitor.storing import read_waiting, store_labels
from w2s_evaluator.monitor.tables import ObservationRow, from_bytes
from w2s_evaluator.monitor.watched import Watched
from w2s_evaluator.monitor.window import Labelled

log = logging.getLogger(__name__)

# What one call for labels carries at most.
_ROWS, _CHARACTERS = 128, 400_000
_FIRST_DELAY_S, _MAX_DELAY_S = 0.2, 10.0
# With these a call for another teacher than the student's own may well be answered later.
_LOST = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "ABORTED"})

# Rows by number.
_Labels = dict[int, NDArray[np.float64]]


class Labeller:
    """Labels one student's observations, oldest first, for as long as it runs.

    What waits is in the database: nothing is lost when the supervisor is away, or we are.

    Args:
        watched: The student.
        database: Where its observations are.
        oracle: Who is asked.
        dropped: Told how many teachers have left a window that held too many.
    """

    def __init__(self, watched: Watched, database: Database, oracle: Oracle, dropped: Callable[[int], None]) -> None:
        self._watched = watched
        self._database = database
        self._oracle = oracle
        self._dropped = dropped
        self._told: set[str] = set()

    async def run(self) -> None:
        """Labels until it is cancelled."""
        pace, rows, delay = Pace(self._watched.student.spec.labels_per_second), _ROWS, _FIRST_DELAY_S
        while True:
            await self._watched.work.wait()
            taken = await pace.take(rows)
            used = 0
            try:
                used = await self._label(taken)
                self._told.discard("lost")
                rows = min(2 * rows, _ROWS)
            except Refusal as refusal:
                self._tell("lost", f"labels have to wait: {refusal.message}")
                # A busy supervisor may have room for less.
                rows = max(1, rows // 2)
            except Exception:
                # Whatever it is, what waits has to be tried again: nobody else would.
                log.exception("labelling failed", extra={"student": self._watched.student.id})
            pace.give_back(taken - used)
            if used:
                delay = _FIRST_DELAY_S
            else:
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads retries
                delay = min(2 * delay, _MAX_DELAY_S)

    async def _label(self, most: int) -> int:
        """Labels some of what waits; returns how many observations wait no more.

        Raises:
            Refusal: The supervisor labels nothing now.
        """
        student = self._watched.student
        rows = _fitting(await self._database.run(partial(read_waiting, student.number, most)))
        oldest = current_seconds() - student.spec.window.age
        fresh = [row for row in rows if row.time >= oldest]
        late = [row.number for row in rows if row.time < oldest]
        if late:
            self._tell("late", "observations have left the window before the supervisor could label them")
        said = await self._oracle.label(fresh, student.spec.teacher) if fresh else []
        good, failed = await self._judged(fresh, said)
        labelled = await self._with_companions(good)
        await self._settle(labelled, [*late, *failed])
        return len(late) + len(failed) + len(labelled)

    async def _judged(
        self, rows: Sequence[ObservationRow], said: Sequence[Said]
    ) -> tuple[list[tuple[ObservationRow, Said]], list[int]]:
        """The rows with a label of the student's classes, and the numbers of those that will have none."""
        good, failed = [], []
        for row, one in zip(rows, said, strict=True):
            if one.passing:
                continue
            if problem := one.problem or await self._other_classes(one):
                self._tell(problem, f"observations have no label: {problem}")
                failed.append(row.number)
            else:
                good.append((row, one))
        return good, failed

    async def _other_classes(self, said: Said) -> str:
        assert said.version is not None
        classes, own = await self._oracle.classes(said.version), self._watched.student.spec.label_names
        return "" if classes == own else f"{said.version.teacher} has classes {list(classes)}, the student {list(own)}"

    async def _with_companions(self, good: list[tuple[ObservationRow, Said]]) -> list[Labelled]:
        rows, spec = [row for row, _ in good], self._watched.student.spec
        ceiling = await self._companion(rows, spec.ceiling)
        no_conflict = await self._companion(rows, spec.no_conflict)
        return [_labelled(row, said, ceiling.get(row.number), no_conflict.get(row.number)) for row, said in good]

    async def _companion(self, rows: Sequence[ObservationRow], teacher: str) -> _Labels:
        """What another teacher says, where it can; figures that need it are of those rows alone.

        Raises:
            Refusal: The supervisor may answer later.
        """
        if not teacher or not rows:
            return {}
        try:
            said = await self._oracle.label(rows, teacher)
            good, _ = await self._judged(rows, said)
        except Refusal as refusal:
            if refusal.status in _LOST:
                raise
            self._tell(teacher, f"{teacher} is left out: {refusal.message}")
            return {}
        return {row.number: one.probabilities for row, one in good if one.probabilities is not None}

    async def _settle(self, labelled: list[Labelled], failed: list[int]) -> None:
        number = self._watched.student.number
        stored = await self._database.run(partial(store_labels, number, labelled, failed))
        # Truths are stored in the same thread and taken over in the same order: none is lost in between.
        self._dropped(self._watched.settle(stored, failed))

    def _tell(self, kind: str, message: str) -> None:
        """Logs what is wrong, once for each kind until it is over."""
        if kind not in self._told and len(self._told) < _ROWS:
            self._told.add(kind)
            log.warning(message, extra={"student": self._watched.student.id})


def _fitting(rows: list[ObservationRow]) -> list[ObservationRow]:
    """The first rows, as many as one call may carry."""
    characters = 0
    fitting: list[ObservationRow] = []
    for row in rows:
        characters += len(row.text) + len(row.text_pair)
        if fitting and characters > _CHARACTERS:
            break
        fitting.append(row)
    return fitting


def _labelled(
    row: ObservationRow, said: Said, ceiling: NDArray[np.float64] | None, no_conflict: NDArray[np.float64] | None
) -> Labelled:
    student = from_bytes(row.probabilities)
    assert student is not None
    assert said.version is not None
    assert said.probabilities is not None
    return Labelled(
        number=row.number,
        time=row.time,
        version=said.version,
        student=student,
        teacher=said.probabilities,
        ceiling=ceiling,
        no_conflict=no_conflict,
        truth=row.truth,
    )
