"""Requests and responses that wait for each other, in the database."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import DateTime, String, Text, delete, func, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, now, utc
from w2s_evaluator.events.parse import Half, Side

# Of one inference: its service and its id.
Key = tuple[str, str]


class HalfRow(Base):
    """One of the two events of an inference; without a body once both have been taken."""

    __tablename__ = "event_halves"

    service: Mapped[str] = mapped_column(String(512), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    side: Mapped[str] = mapped_column(String(8), primary_key=True)
    time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # As text: PostgreSQL's JSON takes no NaN, which a student may well answer.
    body: Mapped[str | None] = mapped_column(Text)
    arrival: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)

    def half(self) -> Half:
        """The event."""
        time = utc(self.time) if self.time else None
        return Half(self.service, self.id, Side(self.side), time, json.loads(self.body or "null"))


def store_halves(session: Session, halves: Sequence[Half]) -> tuple[list[Half], dict[Key, dict[Side, Half]]]:
    """Stores events, each once.

    Returns:
        Those that were stored before; and the inferences of which both events are there
        and not taken yet.
    """
    keys = {(half.service, half.id) for half in halves}
    rows = session.scalars(select(HalfRow).where(tuple_(HalfRow.service, HalfRow.id).in_(keys))).all()
    there = {(row.service, row.id, row.side): row for row in rows}
    known = []
    for half in halves:
        key = (half.service, half.id, half.side)
        if key in there:
            known.append(half)
            continue
        there[key] = _row(half, now(session))
        session.add(there[key])
    return known, _whole(there.values())


def whole_inferences(session: Session) -> dict[Key, dict[Side, Half]]:
    """Inferences of which both events are there and not taken yet, 1,000 at most."""
    keys = (
        select(HalfRow.service, HalfRow.id)
        .where(HalfRow.body.is_not(None))
        .group_by(HalfRow.service, HalfRow.id)
        .having(func.count() == len(Side))
        .limit(1000)
    )
    found = [(service, id_) for service, id_ in session.execute(keys)]
    return _whole(session.scalars(select(HalfRow).where(tuple_(HalfRow.service, HalfRow.id).in_(found))))


def take_halves(session: Session, keys: Sequence[Key]) -> None:
    """Remembers of inferences that both events were taken, and nothing else of them."""
    session.execute(update(HalfRow).where(tuple_(HalfRow.service, HalfRow.id).in_(keys)).values(body=None))


def expire_halves(session: Session, age: timedelta) -> int:
    """Forgets what came before a time; returns how many of it were never met by their other half."""
    old = HalfRow.arrival < now(session) - age
    alone = session.scalar(select(func.count()).where(old, HalfRow.body.is_not(None))) or 0
    session.execute(delete(HalfRow).where(old))
    return alone


def count_halves(session: Session) -> int:
    """How many wait for their other half."""
    return session.scalar(select(func.count()).select_from(HalfRow).where(HalfRow.body.is_not(None))) or 0


def _whole(rows: Iterable[HalfRow]) -> dict[Key, dict[Side, Half]]:
    pairs: dict[Key, dict[Side, Half]] = defaultdict(dict)
    for row in rows:
        if row.body is not None:
            pairs[row.service, row.id][Side(row.side)] = row.half()
    return {key: pair for key, pair in pairs.items() if len(pair) == len(Side)}


def _row(half: Half, arrival: datetime) -> HalfRow:
    return HalfRow(
        service=half.service,
        id=half.id,
        side=half.side.value,
        time=half.time,
        body=json.dumps(half.body),
        arrival=arrival,
    )
