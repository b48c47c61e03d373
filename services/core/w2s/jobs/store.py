"""Jobs and their event logs in a database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKeyConstraint, Integer, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, Database
from w2s.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from w2s.jobs.job import Event, Job, Progress, State
from w2s.paging import decode_token, encode_token, page_size

_NUMBER = re.compile(r"[0-9]{1,9}")


class _JobRow(Base):
    __tablename__ = "jobs"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, index=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    extra: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(32), index=True)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    start_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error_code: Mapped[int] = mapped_column(Integer, default=0)
    error_message: Mapped[str] = mapped_column(Text, default="")


class _EventRow(Base):
    __tablename__ = "job_events"
    __table_args__ = (ForeignKeyConstraint(["kind", "job_id"], ["jobs.kind", "jobs.id"], ondelete="CASCADE"),)

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(63), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True)
    time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    state: Mapped[str] = mapped_column(String(32))
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error_code: Mapped[int] = mapped_column(Integer, default=0)
    error_message: Mapped[str] = mapped_column(Text, default="")


class JobStore:
    """The jobs of one kind.

    Args:
        database: Where they are.
        kind: Their collection, such as `runs`.
    """

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self.kind = kind

    async def create(self, id_: str, spec: dict[str, Any], extra: dict[str, Any], max_queued: int) -> tuple[Job, bool]:
        """Adds a job, or finds the one of that id; a failed one is queued again.

        Returns:
            The job, and whether it has just been queued.

        Raises:
            AlreadyExists: The id belongs to a job with another spec.
            ResourceExhausted: `max_queued` jobs wait already.
        """

        def work(session: Session) -> tuple[Job, bool]:
            row = session.get(_JobRow, (self.kind, id_))
            if row and row.spec != spec:
                raise AlreadyExists(f"{self.kind}/{id_} exists with another spec; use another request_id")
            if row and row.state != State.FAILED:
                return _job(row), False
            waiting = select(func.count()).where(_JobRow.kind == self.kind, _JobRow.state == State.QUEUED)
            if (session.scalar(waiting) or 0) >= max_queued:
                raise ResourceExhausted(f"{max_queued} {self.kind} are waiting, which is the limit", 10.0)
            if row is None:
                row = self._new_row(session, id_, spec, extra)
            row.state, row.end_time, row.error_code, row.error_message = State.QUEUED, None, 0, ""
            _log(session, row)
            return _job(row), True

        return await self._database.run(work)

    async def get(self, id_: str) -> Job:
        """The job of that id; NotFound when there is none."""
        return await self._database.run(lambda session: _job(self._row(session, id_)))

    async def page(self, size: int, token: str) -> tuple[list[Job], str]:
        """A page of jobs, newest first, and the token of the next page.

        Raises:
            InvalidArgument: The size is negative or the token is not one of ours.
        """
        size, key = page_size(size), decode_token(token)
        if key and not _NUMBER.fullmatch(key):
            raise InvalidArgument("page_token", "is not a token that a list call returned")

        def work(session: Session) -> tuple[list[Job], str]:
            query = select(_JobRow).where(_JobRow.kind == self.kind).order_by(_JobRow.number.desc())
            if key:
                query = query.where(_JobRow.number < int(key))
            rows: Sequence[_JobRow] = session.scalars(query.limit(size + 1)).all()
            more = len(rows) > size
            return [_job(row) for row in rows[:size]], encode_token(str(rows[size - 1].number)) if more else ""

        return await self._database.run(work)

    async def with_state(self, state: State) -> list[Job]:
        """The jobs in a state, oldest first."""
        query = select(_JobRow).where(_JobRow.kind == self.kind, _JobRow.state == state).order_by(_JobRow.number)
        return await self._database.run(lambda session: [_job(row) for row in session.scalars(query)])

    async def begin(self, id_: str) -> Job | None:
        """Starts an attempt of a queued job; None when it is not queued any more."""

        def work(session: Session) -> Job | None:
            row = self._row(session, id_)
            if row.state != State.QUEUED:
                return None
            row.state, row.attempt, row.start_time, row.progress = State.RUNNING, row.attempt + 1, _now(), None
            _log(session, row)
            return _job(row)

        return await self._database.run(work)

    async def requeue(self, id_: str) -> None:
        """Puts a running job back into the queue; one that has ended stays as it is."""

        def work(session: Session) -> None:
            row = self._row(session, id_)
            if row.state == State.RUNNING:
                row.state = State.QUEUED
                _log(session, row)

        await self._database.run(work)

    async def report(self, id_: str, progress: Progress) -> None:
        """Appends progress to the log of a running job."""

        def work(session: Session) -> None:
            row = self._row(session, id_)
            if row.state == State.RUNNING:
                row.progress = asdict(progress)
                _log(session, row, row.progress)

        await self._database.run(work)

    async def end(
        self, id_: str, state: State, result: dict[str, Any] | None = None, code: int = 0, message: str = ""
    ) -> Job:
        """Ends a job, unless it has ended already, and returns it."""

        def work(session: Session) -> Job:
            row = self._row(session, id_)
            if not State(row.state).ended:
                row.state, row.end_time, row.result = state, _now(), result
                row.error_code, row.error_message = code, message
                _log(session, row)
            return _job(row)

        return await self._database.run(work)

    async def events(self, id_: str, after: int) -> tuple[Job, list[Event]]:
        """A job, and its events with a greater sequence, as of one moment."""

        def work(session: Session) -> tuple[Job, list[Event]]:
            job = _job(self._row(session, id_))
            query = (
                select(_EventRow)
                .where(_EventRow.kind == self.kind, _EventRow.job_id == id_, _EventRow.sequence > after)
                .order_by(_EventRow.sequence)
            )
            return job, [_event(row) for row in session.scalars(query)]

        return await self._database.run(work)

    def _row(self, session: Session, id_: str) -> _JobRow:
        row = session.get(_JobRow, (self.kind, id_))
        if row is None:
            raise NotFound(f"there is no {self.kind}/{id_}")
        return row

    def _new_row(self, session: Session, id_: str, spec: dict[str, Any], extra: dict[str, Any]) -> _JobRow:
        last = session.scalar(select(func.max(_JobRow.number)).where(_JobRow.kind == self.kind)) or 0
        row = _JobRow(kind=self.kind, id=id_, number=last + 1, spec=spec, extra=extra, attempt=0, create_time=_now())
        row.state = State.QUEUED
        session.add(row)
        session.flush()
        return row


def _log(session: Session, row: _JobRow, progress: dict[str, Any] | None = None) -> None:
    mine = (_EventRow.kind == row.kind, _EventRow.job_id == row.id)
    last = session.scalar(select(func.max(_EventRow.sequence)).where(*mine)) or 0
    session.add(
        _EventRow(
            kind=row.kind,
            job_id=row.id,
            sequence=last + 1,
            time=_now(),
            state=row.state,
            progress=progress,
            error_code=row.error_code or 0,
            error_message=row.error_message or "",
        )
    )


def _job(row: _JobRow) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        spec=row.spec,
        extra=row.extra,
        state=State(row.state),
        attempt=row.attempt,
        create_time=_utc(row.create_time),
        start_time=_utc(row.start_time) if row.start_time else None,
        end_time=_utc(row.end_time) if row.end_time else None,
        progress=Progress(**row.progress) if row.progress else None,
        result=row.result,
        error_code=row.error_code or 0,
        error_message=row.error_message or "",
    )


def _event(row: _EventRow) -> Event:
    return Event(
        sequence=row.sequence,
        time=_utc(row.time),
        state=State(row.state),
        progress=Progress(**row.progress) if row.progress else None,
        error_code=row.error_code,
        error_message=row.error_message,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _utc(time: datetime) -> datetime:
    # SQLite gives times back without their zone.
    return time if time.tzinfo else time.replace(tzinfo=UTC)
