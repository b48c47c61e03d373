"""Writes what the monitor learns to the database, and reads it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.orm import Session

from w2s_evaluator.monitor.confidences import Growth
from w2s_evaluator.monitor.observation import Observation
from w2s_evaluator.monitor.tables import ObservationRow, StretchRow, StudentRow, from_bytes, to_bytes
from w2s_evaluator.monitor.watched import Counts, Watched
from w2s_evaluator.monitor.window import Labelled, Version

# Values bound in one statement.
_CHUNK = 500


@dataclass
class Batch:
    """New observations of one student, which are stored together.

    Attributes:
        watched: The student; it is not changed before `apply`.
        now: When they came, in seconds since 1970.
        counts: What becomes of them.
        sampled: Those that wait for labels from now on.
    """

    watched: Watched
    now: float
    counts: Counts = field(default_factory=Counts)
    sampled: list[Observation] = field(default_factory=list)
    _hashes: list[int] = field(default_factory=list)
    _confidences: list[float] = field(default_factory=list)

    def count(self, observation: Observation, hash_: int) -> None:
        """Counts an observation, sampled or not."""
        self._hashes.append(hash_)
        self._confidences.append(max(observation.probabilities))

    @cached_property
    def growth(self) -> Growth:
        """What the student's history becomes."""
        return self.watched.history.grown(self._hashes, self._confidences, self.now)

    def numbered(self) -> Iterable[tuple[int, Observation]]:
        """Those that are sampled, with their numbers."""
        return enumerate(self.sampled, self.watched.next_number)

    def without(self, known: set[str]) -> Counts:
        """The counts, once some sampled ones turned out to be known."""
        accepted, duplicates = self.counts.accepted - len(known), self.counts.duplicates + len(known)
        return Counts(accepted, duplicates, self.counts.shed, self.counts.refused)

    def apply(self, known: set[str], now: float) -> None:
        """Takes all this over into memory, once it is stored."""
        watched, counts = self.watched, self.without(known)
        if self._hashes:
            watched.seen.add(self._hashes)
            watched.grow(self.growth, now)
        for name, count in asdict(counts).items():
            setattr(watched.counts, name, getattr(watched.counts, name) + count)
        arrivals = {number: self.now for number, one in self.numbered() if one.id not in known}
        watched.next_number += len(self.sampled)
        watched.wait_for(arrivals)


def store_batches(batches: Sequence[Batch], session: Session) -> dict[int, set[str]]:
    """Stores new observations.

    Returns:
        By student, the sampled ids that were there already; students that have left are missing.
    """
    found = {}
    for batch in batches:
        row = session.get(StudentRow, batch.watched.student.number)
        if row is not None:
            found[row.number] = _store_batch(session, batch, row)
    return found


def _store_batch(session: Session, batch: Batch, row: StudentRow) -> set[str]:
    known = _known(session, row.number, [one.id for one in batch.sampled])
    rows = [_new_row(row.number, number, one, batch.now) for number, one in batch.numbered() if one.id not in known]
    if rows:
        session.execute(insert(ObservationRow), rows)
    for name, count in asdict(batch.without(known)).items():
        setattr(row, name, getattr(row, name) + count)
    growth = batch.growth
    if growth.stretches:
        row.totals, row.reference, row.last_event = asdict(growth.totals), asdict(growth.reference), batch.now
        _store_stretches(session, row.number, batch.watched.history.oldest, growth)
    return known


def _known(session: Session, student: int, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        chunk = ObservationRow.id.in_(ids[start : start + _CHUNK])
        found |= set(session.scalars(select(ObservationRow.id).where(ObservationRow.student == student, chunk)))
    return found


def _new_row(student: int, number: int, one: Observation, now: float) -> dict[str, object]:
    return {
        "student": student,
        "number": number,
        "id": one.id,
        "time": one.seconds(now),
        "arrival": now,
        "text": one.text,
        "text_pair": one.text_pair,
        "probabilities": to_bytes(one.probabilities),
        "waiting": True,
    }


def _store_stretches(session: Session, student: int, oldest: int, growth: Growth) -> None:
    """Writes the stretches that are new or have grown, and deletes those that are forgotten."""
    replaced = or_(StretchRow.number < oldest, StretchRow.number >= growth.stretches[0].number)
    session.execute(delete(StretchRow).where(StretchRow.student == student, replaced))
    rows = [
        {
            "student": student,
            "number": stretch.number,
            "opened": stretch.opened,
            "hashes": stretch.hashes,
            "bins": list(stretch.bins),
        }
        for stretch in growth.stretches
    ]
    session.execute(insert(StretchRow), rows)


def read_waiting(student: int, most: int, session: Session) -> list[ObservationRow]:
    """The observations of a student that have waited longest."""
    query = select(ObservationRow).where(ObservationRow.student == student, ObservationRow.waiting)
    return list(session.scalars(query.order_by(ObservationRow.number).limit(most)))


def store_labels(student: int, labelled: Sequence[Labelled], failed: Sequence[int], session: Session) -> list[Labelled]:
    """Stores the labels of observations, and forgets those that have none.

    Returns:
        Those with labels, with the truths that came while they were asked for.
    """
    changes = [
        {
            "student": student,
            "number": one.number,
            "waiting": False,
            "text": "",
            "text_pair": "",
            **vars(one.version),
            "label": to_bytes(one.teacher),
            "ceiling": to_bytes(one.ceiling),
            "no_conflict": to_bytes(one.no_conflict),
        }
        for one in labelled
    ]
    mine = ObservationRow.student == student
    if changes and session.get(StudentRow, student) is not None:
        session.execute(update(ObservationRow), changes)
    if failed:
        session.execute(delete(ObservationRow).where(mine, ObservationRow.number.in_(failed)))
    counted = {"labelled": StudentRow.labelled + len(labelled), "failed": StudentRow.failed + len(failed)}
    session.execute(update(StudentRow).where(StudentRow.number == student).values(counted))
    numbers = [one.number for one in labelled]
    query = select(ObservationRow).where(mine, ObservationRow.number.in_(numbers)).order_by(ObservationRow.number)
    return [labelled_of(row) for row in session.scalars(query)]


def store_truths(
    student: int, truths: dict[str, int], since: float, oldest: int, session: Session
) -> list[ObservationRow]:
    """Stores the true classes of observations by id; a later one replaces an earlier.

    Args:
        student: Whose they are.
        truths: Classes by id.
        since: Observations made before are in no window; in seconds since 1970.
        oldest: Labelled ones with a lesser number are not, either.

    Returns:
        The observations that were met.
    """
    ids = list(truths)
    met: list[ObservationRow] = []
    for start in range(0, len(ids), _CHUNK):
        query = select(ObservationRow).where(
            ObservationRow.student == student,
            ObservationRow.id.in_(ids[start : start + _CHUNK]),
            ObservationRow.time >= since,
            or_(ObservationRow.waiting, ObservationRow.number >= oldest),
        )
        met += session.scalars(query)
    for row in met:
        row.truth = truths[row.id]
    return met


def forget_old(student: int, since: float, oldest: int, session: Session) -> None:
    """Deletes labelled observations that have left the window."""
    gone = or_(ObservationRow.time < since, ObservationRow.number < oldest)
    mine = ObservationRow.student == student
    session.execute(delete(ObservationRow).where(mine, ObservationRow.waiting.is_(False), gone))


def labelled_of(row: ObservationRow) -> Labelled:
    """A labelled observation as the window takes it."""
    student, teacher = from_bytes(row.probabilities), from_bytes(row.label)
    assert student is not None
    assert teacher is not None
    return Labelled(
        number=row.number,
        time=row.time,
        version=Version(row.teacher, row.revision, row.digest),
        student=student,
        teacher=teacher,
        ceiling=from_bytes(row.ceiling),
        no_conflict=from_bytes(row.no_conflict),
        truth=row.truth,
    )
