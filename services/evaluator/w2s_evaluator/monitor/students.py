"""The students that are watched: which there are, in the database and in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import read_predictions, softmax
from w2s.database import Database, utc
from w2s.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from w2s.paging import decode_token, encode_token, page_size
from w2s_evaluator.monitor.confidences import Growth, Reference, Stretch, Totals, bins_of
from w2s_evaluator.monitor.metrics import MonitorMetrics
from w2s_evaluator.monitor.observation import current_seconds
from w2s_evaluator.monitor.spec import ID, StudentSpec
from w2s_evaluator.monitor.storing import labelled_of
from w2s_evaluator.monitor.tables import ObservationRow, StretchRow, StudentRow
from w2s_evaluator.monitor.watched import Counts, Student, Watched


class Students:
    """The registry. All students are in memory, with what figures need of each.

    Args:
        database: Where they survive a restart.
        store: Where the predictions are that they may be held against.
        most: Students at most.
        metrics: Counts those that are refused.
    """

    def __init__(self, database: Database, store: ArtifactStore, most: int, metrics: MonitorMetrics) -> None:
        self._database = database
        self._store = store
        self._most = most
        self._metrics = metrics
        self._watched: dict[str, Watched] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Takes up what the database knows."""
        self._watched = {one.student.id: one for one in await self._database.run(_load)}

    @property
    def all(self) -> list[Watched]:
        """Every student, in no order; safe to ask from any thread."""
        return list(self._watched.values())

    def watched(self, id_: str) -> Watched:
        """The student of that id; NotFound when there is none."""
        found = self._watched.get(id_)
        if found is None:
            raise NotFound(f"there is no students/{id_}; register it with RegisterStudent")
        return found

    def by_inference_service(self, service: str) -> str | None:
        """The id of the student that an InferenceService, `namespace/name`, serves; None where it is nobody's."""
        return next((id_ for id_, one in self._watched.items() if one.student.spec.inference_service == service), None)

    def label_names(self, student_id: str) -> Sequence[str]:
        """A student's classes; NotFound when there is none of that id."""
        return self.watched(student_id).student.spec.label_names

    async def register(self, id_: str, spec: StudentSpec) -> tuple[Watched, bool]:
        """Adds a student, or finds the same one.

        Returns:
            The student, and whether it is new.

        Raises:
            InvalidArgument: The id is malformed, or the reference holds no such predictions.
            AlreadyExists: The id, or the InferenceService, belongs to a student with another spec.
            ResourceExhausted: There are as many as there may be.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`, of the reference.
        """
        if not re.fullmatch(ID, id_):
            raise InvalidArgument("student_id", "must be lower-case letters, digits and hyphens, at most 63")
        async with self._changing:
            if found := self._watched.get(id_):
                if found.student.spec != spec:
                    raise AlreadyExists(
                        f"{found.student.name} has another spec; unregister it or use another student_id"
                    )
                return found, False
            self._check_room(spec)
            reference = Reference()
            if spec.reference:
                reference = await asyncio.to_thread(self._reference, spec.reference, len(spec.label_names))
            watched = await self._database.run(partial(_insert, id_, spec, reference))
            self._watched[id_] = watched
            return watched, True

    async def unregister(self, id_: str) -> Watched:
        """Forgets a student with all that is known of it, and returns it; NotFound when there is none of that id."""
        async with self._changing:
            watched = self.watched(id_)
            gone = delete(StudentRow).where(StudentRow.number == watched.student.number)
            await self._database.run(lambda session: session.execute(gone) and None)
            del self._watched[id_]
            return watched

    def page(self, size: int, token: str) -> tuple[list[Student], str]:
        """A page of students by id, and the token of the next page."""
        size, after = page_size(size), decode_token(token)
        ids = sorted(id_ for id_ in self._watched if id_ > after)
        more = len(ids) > size
        return [self._watched[id_].student for id_ in ids[:size]], encode_token(ids[size - 1]) if more else ""

    def _check_room(self, spec: StudentSpec) -> None:
        if spec.inference_service and (other := self.by_inference_service(spec.inference_service)):
            raise AlreadyExists(f"students/{other} has the payloads of {spec.inference_service} already")
        if len(self._watched) >= self._most:
            self._metrics.dropped()
            raise ResourceExhausted(f"{self._most} students are watched, as many as may be (max_students)", 60)

    def _reference(self, ref: ArtifactRef, classes: int) -> Reference:
        logits = read_predictions(self._store, ref, "spec.reference").logits
        if logits.shape[1] != classes:
            raise InvalidArgument("spec.reference", f"has {logits.shape[1]} classes, the student {classes}")
        return Reference(tuple(bins_of(softmax(logits).max(axis=1), classes)), complete=True)


def _insert(id_: str, spec: StudentSpec, reference: Reference, session: Session) -> Watched:
    row = StudentRow(id=id_, spec=spec.model_dump(mode="json"), create_time=datetime.now(UTC))
    row.totals, row.reference = asdict(Totals()), asdict(reference)
    session.add(row)
    session.flush()
    watched = Watched(_student(row))
    watched.history.reference = reference
    return watched


def _load(session: Session) -> list[Watched]:
    return [_watched(session, row) for row in session.scalars(select(StudentRow))]


def _watched(session: Session, row: StudentRow) -> Watched:
    counts = Counts(**{name: getattr(row, name) for name in vars(Counts())})
    watched = Watched(_student(row), counts, last_event=row.last_event)
    _load_history(session, row, watched)
    mine = ObservationRow.student == row.number
    waiting = select(ObservationRow.number, ObservationRow.arrival).where(mine, ObservationRow.waiting)
    watched.wait_for(dict(session.execute(waiting.order_by(ObservationRow.number)).all()))
    labelled = select(ObservationRow).where(mine, ObservationRow.waiting.is_(False)).order_by(ObservationRow.number)
    rows = [labelled_of(found) for found in session.scalars(labelled)]
    watched.window.append(rows)
    watched.next_number = 1 + max([*watched.waiting, *(one.number for one in rows)], default=0)
    return watched


def _load_history(session: Session, row: StudentRow, watched: Watched) -> None:
    query = select(StretchRow).where(StretchRow.student == row.number).order_by(StretchRow.number)
    stretches = [Stretch(s.number, s.opened, s.hashes, tuple(s.bins)) for s in session.scalars(query)]
    totals = Totals(tuple(row.totals["counts"]), row.totals["sum"])
    reference = Reference(tuple(row.reference["bins"]), row.reference["complete"])
    watched.history.take(Growth(totals, reference, stretches), current_seconds())
    watched.seen.add(watched.history.recent_hashes())


def _student(row: StudentRow) -> Student:
    return Student(row.number, row.id, StudentSpec.model_validate(row.spec), utc(row.create_time))
