"""Jobs and their event logs in a database."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    Select,
    String,
    Text,
    UniqueConstraint,
    and_,
    func,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, Database, lease_clock, now, utc
from w2s.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from w2s.jobs.job import Event, Job, Progress, State
from w2s.jobs.owner import is_dead
from w2s.paging import decode_token, encode_token, page_size

_NUMBER = re.compile(r"[0-9]{1,9}")
# The greatest INTEGER.
_NO_BOUND = 2**31 - 1
# More than a deletion takes: after it, one that was cut short holds nothing up.
_DELETION = timedelta(minutes=10)
# No lease is so long: one that seems to be was counted by a clock that has been set back since.
_LONGEST_LEASE = timedelta(hours=1)


class _JobRow(Base):
    __tablename__ = "jobs"
    # Two servers that add a job at once: one of them has to count again.
    __table_args__ = (UniqueConstraint("kind", "number"),)

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
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
    # Who executes a running job, or deletes one that has ended, and until when nobody else may.
    owner: Mapped[str] = mapped_column(String(255), default="")
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    size: Mapped[int] = mapped_column(Integer, default=1)


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


class Lease(Enum):
    """How the owner of a running job stands to it."""

    HELD = auto()
    CANCELLED = auto()  # Held, and the job is to be cancelled.
    LOST = auto()


class JobStore:
    """The jobs of one kind, which several servers may share.

    What is written about a running job is written by its owner; what a former one has to
    say changes nothing.

    Args:
        database: Where they are.
        kind: Their collection, such as `runs`.
    """

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self.kind = kind

    async def create(
        self,
        id_: str,
        spec: dict[str, Any],
        extra: dict[str, Any],
        max_queued: int,
        priority: int = 0,
        size: int = 1,
        slots: int = _NO_BOUND,
    ) -> tuple[Job, bool]:
        """Adds a job, or finds the one of that id; a failed one is queued again.

        A job is the same whatever its extra, priority and size; one that is queued again takes the new ones.

        Args:
            id_: Its id.
            spec: What decides its result; JSON.
            extra: What does not; JSON.
            max_queued: Jobs that may wait.
            priority: Those of a higher one begin first.
            size: The slots that it takes, >= 1.
            slots: The slots that there are.

        Returns:
            The job, and whether it has just been queued.

        Raises:
            AlreadyExists: The id belongs to a job with another spec.
            FailedPrecondition: It does not fit into the slots.
            ResourceExhausted: `max_queued` jobs wait already.
            Unavailable: It is being deleted.
        """

        def work(session: Session) -> tuple[Job, bool]:
            row = session.get(_JobRow, (self.kind, id_), with_for_update=True)
            if row:
                self._refuse_condemned(session, row)
            if row and row.spec != spec:
                raise AlreadyExists(f"{self.kind}/{id_} exists with another spec; use another request_id")
            if row and row.state != State.FAILED:
                return _job(row), False
            if size > slots:
                needs = f"{self.kind}/{id_} needs {size} slots"
                raise FailedPrecondition(f"{needs} and can never start here: this server has {slots}")
            waiting = select(func.count()).where(_JobRow.kind == self.kind, _JobRow.state == State.QUEUED)
            if (session.scalar(waiting) or 0) >= max_queued:
                raise ResourceExhausted(f"{max_queued} {self.kind} are waiting, which is the limit", 10.0)
            if row is None:
                row = self._new_row(session, id_, spec, extra)
            row.extra, row.priority, row.size = extra, priority, size
            _queue(session, row)
            return _job(row), True

        while True:
            try:
                return await self._database.run(work)
            except IntegrityError:
                # Another server has just taken the id or the number; each turn here is a job of theirs.
                continue

    async def get(self, id_: str) -> Job:
        """The job of that id; NotFound when there is none."""
        return await self._database.run(lambda session: _job(self._row(session, id_)))

    async def unfinished(self) -> list[Job]:
        """The jobs that have not ended, oldest first."""
        going = (State.QUEUED, State.RUNNING)
        query = select(_JobRow).where(_JobRow.kind == self.kind, _JobRow.state.in_(going)).order_by(_JobRow.number)
        return await self._database.run(lambda session: [_job(row) for row in session.scalars(query)])

    async def page(self, size: int, token: str, states: Collection[State] = ()) -> tuple[list[Job], str]:
        """A page of jobs, newest first, and the token of the next page.

        Args:
            size: Jobs at most, as `page_size`.
            token: Of the page; empty for the first.
            states: Only jobs in one of them; all when there is none.

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
            if states:
                query = query.where(_JobRow.state.in_(states))
            rows: Sequence[_JobRow] = session.scalars(query.limit(size + 1)).all()
            more = len(rows) > size
            return [_job(row) for row in rows[:size]], encode_token(str(rows[size - 1].number)) if more else ""

        return await self._database.run(work)

    async def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        query = select(_JobRow.state, func.count()).where(_JobRow.kind == self.kind).group_by(_JobRow.state)

        def work(session: Session) -> dict[State, int]:
            counts = dict.fromkeys(State, 0)
            for state, number in session.execute(query):
                counts[State(state)] = number
            return counts

        return await self._database.run(work)

    async def condemn(self, id_: str, deleter: str) -> Job:
        """Lets nobody begin a job again that has ended, while it is being deleted, and returns it.

        Args:
            id_: The job.
            deleter: Who deletes it, as `new_owner` names it; one for each deletion.

        Raises:
            NotFound: There is none of that id.
            FailedPrecondition: It has not ended.
            Unavailable: Another is deleting it.
        """

        def work(session: Session) -> Job:
            row = self._row(session, id_, lock=True)
            if not State(row.state).ended:
                raise FailedPrecondition(f"{self.kind}/{id_} has not ended; cancel it first")
            self._refuse_condemned(session, row)
            row.owner, row.lease_until = deleter, lease_clock(session) + _DELETION
            return _job(row)

        return await self._database.run(work)

    async def spare(self, id_: str, deleter: str) -> None:
        """Takes back that a job is being deleted."""

        def work(session: Session) -> None:
            row = self._held(session, id_, deleter)
            if row is not None:
                row.owner, row.lease_until = "", None

        await self._database.run(work)

    async def delete(self, id_: str, deleter: str) -> None:
        """Forgets a job that the deleter has condemned, and its events."""

        def work(session: Session) -> None:
            row = self._held(session, id_, deleter)
            if row is not None:
                # The events go with it: their foreign key cascades.
                session.delete(row)

        await self._database.run(work)

    async def claim(
        self,
        owner: str,
        lease_s: float,
        busy: Collection[str] = (),
        slots: int = _NO_BOUND,
        free: int = _NO_BOUND,
    ) -> Job | None:
        """Starts an attempt of the first job that is queued, or whose owner has died or lost its lease.

        The first is the oldest of the highest priority among those that fit into the owner's slots.
        While it does not fit into the free ones, nothing that comes after it starts in its place:
        small jobs never starve a big one.

        Args:
            owner: Who will execute it.
            lease_s: Seconds, > 0, that it is the owner's unless renewed.
            busy: Ids that the owner still executes, whatever their leases.
            slots: The slots of the owner.
            free: Those of them that are free.

        Returns:
            The job, running; or cancelled, when that is what its last owner was asked for; or None.
        """

        def work(session: Session) -> Job | None:
            first = self._claimable(session).where(_JobRow.id.not_in(busy), _JobRow.size <= slots).limit(1)
            first = first.order_by(_JobRow.priority.desc(), _JobRow.number)
            # Looked at before it is locked: servers that claim at once pass over each other's rows, and so would
            # over one that is not to be passed. SQLite has one writer at a time anyway.
            locked = first.with_for_update(skip_locked=True).execution_options(populate_existing=True)
            for query in (first, locked):
                row = session.scalar(query)
                if row is None or (row.size > free and not row.cancel_requested):
                    return None
            assert row is not None
            if row.cancel_requested:
                _end(session, row, State.CANCELLED)
            else:
                row.state, row.attempt, row.start_time, row.progress = (
                    State.RUNNING,
                    row.attempt + 1,
                    now(session),
                    None,
                )
                row.owner, row.lease_until = owner, lease_clock(session) + timedelta(seconds=lease_s)
                _log(session, row)
            return _job(row)

        return await self._database.run(work)

    async def renew(self, id_: str, owner: str, lease_s: float) -> Lease:
        """Lets an owner's lease end in `lease_s` seconds from now, and says how it stands."""

        def work(session: Session) -> Lease:
            row = self._held(session, id_, owner)
            if row is None:
                return Lease.LOST
            row.lease_until = lease_clock(session) + timedelta(seconds=lease_s)
            return Lease.CANCELLED if row.cancel_requested else Lease.HELD

        return await self._database.run(work)

    async def release(self, owner: str) -> list[Job]:
        """Puts what an owner has running back into the queue; ends it where that was asked for, and returns that."""

        def work(session: Session) -> list[Job]:
            mine = select(_JobRow).where(_JobRow.kind == self.kind, _JobRow.owner == owner).with_for_update()
            ended = []
            for row in session.scalars(mine).all():
                if row.cancel_requested:
                    _end(session, row, State.CANCELLED)
                    ended.append(_job(row))
                else:
                    _queue(session, row)
            return ended

        return await self._database.run(work)

    async def report(self, id_: str, owner: str, progress: Progress) -> None:
        """Appends progress to the log of a job that the owner holds."""

        def work(session: Session) -> None:
            row = self._held(session, id_, owner)
            if row is not None:
                row.progress = asdict(progress)
                _log(session, row, row.progress)

        await self._database.run(work)

    async def end(
        self,
        id_: str,
        owner: str,
        state: State,
        result: dict[str, Any] | None = None,
        code: int = 0,
        message: str = "",
    ) -> Job | None:
        """Ends a job that the owner holds, and returns it; None when the owner has lost it."""

        def work(session: Session) -> Job | None:
            row = self._held(session, id_, owner)
            if row is None:
                return None
            _end(session, row, state, result, code, message)
            return _job(row)

        return await self._database.run(work)

    async def cancel(self, id_: str) -> tuple[Job, bool]:
        """Ends a job that nobody executes, and asks for the end of one that is executed.

        Returns:
            The job, and whether this call has ended it.
        """

        def work(session: Session) -> tuple[Job, bool]:
            row = self._row(session, id_, lock=True)
            unexecuted = session.scalar(self._claimable(session).where(_JobRow.id == id_)) is not None
            if unexecuted:
                _end(session, row, State.CANCELLED)
            elif row.state == State.RUNNING:
                row.cancel_requested = True
            return _job(row), unexecuted

        return await self._database.run(work)

    async def events(self, id_: str, after: int) -> tuple[Job, list[Event]]:
        """A job, and its events with a greater sequence, up to the job's state at least."""

        def work(session: Session) -> tuple[Job, list[Event]]:
            # Read in this order: no event that led to the job's state is missing.
            job = _job(self._row(session, id_))
            query = (
                select(_EventRow)
                .where(_EventRow.kind == self.kind, _EventRow.job_id == id_, _EventRow.sequence > after)
                .order_by(_EventRow.sequence)
            )
            return job, [_event(row) for row in session.scalars(query)]

        return await self._database.run(work)

    def _row(self, session: Session, id_: str, *, lock: bool = False) -> _JobRow:
        row = session.get(_JobRow, (self.kind, id_), with_for_update=lock)
        if row is None:
            raise NotFound(f"there is no {self.kind}/{id_}")
        return row

    def _held(self, session: Session, id_: str, owner: str) -> _JobRow | None:
        # It may be gone altogether: taken over, ended and deleted meanwhile.
        row = session.get(_JobRow, (self.kind, id_), with_for_update=True)
        return row if row and row.owner == owner else None

    def _refuse_condemned(self, session: Session, row: _JobRow) -> None:
        if not State(row.state).ended or row.lease_until is None:
            return
        time = lease_clock(session)
        if time < utc(row.lease_until) <= time + _LONGEST_LEASE and not is_dead(row.owner):
            raise Unavailable(f"{self.kind}/{row.id} is being deleted; try again once it is gone")

    def _claimable(self, session: Session) -> Select[_JobRow]:
        time = lease_clock(session)
        running = and_(_JobRow.kind == self.kind, _JobRow.state == State.RUNNING)
        dead = [owner for owner in session.scalars(select(_JobRow.owner).where(running).distinct()) if is_dead(owner)]
        over = or_(_JobRow.lease_until <= time, _JobRow.lease_until > time + _LONGEST_LEASE)
        abandoned = and_(running, or_(over, _JobRow.owner.in_(dead)))
        queued = and_(_JobRow.kind == self.kind, _JobRow.state == State.QUEUED)
        return select(_JobRow).where(or_(queued, abandoned))

    def _new_row(self, session: Session, id_: str, spec: dict[str, Any], extra: dict[str, Any]) -> _JobRow:
        last = session.scalar(select(func.max(_JobRow.number)).where(_JobRow.kind == self.kind)) or 0
        row = _JobRow(kind=self.kind, id=id_, number=last + 1, spec=spec, extra=extra, attempt=0)
        row.state, row.create_time = State.QUEUED, now(session)
        session.add(row)
        session.flush()
        return row


def _queue(session: Session, row: _JobRow) -> None:
    # What an attempt before has left is not said of a job that waits, nor of one that is cancelled while it does.
    row.state, row.owner, row.lease_until, row.cancel_requested = State.QUEUED, "", None, False
    row.start_time, row.end_time, row.progress, row.result = None, None, None, None
    row.error_code, row.error_message = 0, ""
    _log(session, row)


def _end(
    session: Session,
    row: _JobRow,
    state: State,
    result: dict[str, Any] | None = None,
    code: int = 0,
    message: str = "",
) -> None:
    row.state, row.end_time, row.result = state, now(session), result
    row.error_code, row.error_message = code, message
    row.owner, row.lease_until = "", None
    _log(session, row)


def _log(session: Session, row: _JobRow, progress: dict[str, Any] | None = None) -> None:
    mine = (_EventRow.kind == row.kind, _EventRow.job_id == row.id)
    last = session.scalar(select(func.max(_EventRow.sequence)).where(*mine)) or 0
    session.add(
        _EventRow(
            kind=row.kind,
            job_id=row.id,
            sequence=last + 1,
            time=now(session),
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
        create_time=utc(row.create_time),
        start_time=utc(row.start_time) if row.start_time else None,
        end_time=utc(row.end_time) if row.end_time else None,
        progress=Progress(**row.progress) if row.progress else None,
        result=row.result,
        error_code=row.error_code or 0,
        error_message=row.error_message or "",
        priority=row.priority,
        size=row.size,
    )


def _event(row: _EventRow) -> Event:
    return Event(
        sequence=row.sequence,
        time=utc(row.time),
        state=State(row.state),
        progress=Progress(**row.progress) if row.progress else None,
        error_code=row.error_code,
        error_message=row.error_message,
    )
