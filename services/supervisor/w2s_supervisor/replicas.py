"""Replicas that share a database: each follows the desired teacher and tells where it stands."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import JSON, DateTime, String, Text, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, Database, now, utc
from w2s.errors import W2SError
from w2s_supervisor.pool import TeacherPool
from w2s_supervisor.swap import Swaps
from w2s_supervisor.teachers import Desired, Teacher, TeacherRegistry

log = logging.getLogger(__name__)

# A replica says where it stands when that changes and at least this often; one that has not
# for `_DEAD_S` is dead, and forgotten after `_FORGOTTEN_S`.
_REPORT_S = 3.0
_DEAD_S = 15.0
_FORGOTTEN_S = 3600.0
_RETRY_S = 30.0


class TeacherState(StrEnum):
    """Where a teacher stands on a replica; the values are the names of the proto enum."""

    REGISTERED = "TEACHER_STATE_REGISTERED"
    LOADED = "TEACHER_STATE_LOADED"
    ACTIVE = "TEACHER_STATE_ACTIVE"
    LOADING = "TEACHER_STATE_LOADING"
    FAILED = "TEACHER_STATE_FAILED"


@dataclass(frozen=True)
class ReplicaStatus:
    """Where a replica stands.

    Attributes:
        active: The id of the teacher that it serves; empty for none.
        target: The id of the teacher that it should serve; empty for none.
        failure: Why it cannot serve its target; empty while it can or is still loading it.
        loaded: The ids of the teachers in its memory.
    """

    active: str = ""
    target: str = ""
    failure: str = ""
    loaded: tuple[str, ...] = ()

    def of(self, id_: str) -> TeacherState:
        """Where a teacher stands on it."""
        if id_ == self.active:
            return TeacherState.ACTIVE
        if id_ == self.target:
            return TeacherState.FAILED if self.failure else TeacherState.LOADING
        return TeacherState.LOADED if id_ in self.loaded else TeacherState.REGISTERED


@dataclass(frozen=True)
class Replica:
    """A living replica."""

    name: str
    status: ReplicaStatus
    update_time: datetime


class _ReplicaRow(Base):
    __tablename__ = "replicas"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    active: Mapped[str] = mapped_column(String(63))
    target: Mapped[str] = mapped_column(String(63))
    failure: Mapped[str] = mapped_column(Text)
    loaded: Mapped[list[str]] = mapped_column(JSON)
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ReplicaBoard:
    """Where replicas tell each other where they stand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, name: str, status: ReplicaStatus) -> None:
        """Says where a replica stands, and forgets those long gone."""

        def work(session: Session) -> None:
            present = now(session)
            fields = {**vars(status), "loaded": list(status.loaded)}
            session.merge(_ReplicaRow(name=name, update_time=present, **fields))
            old = present - timedelta(seconds=_FORGOTTEN_S)
            session.execute(delete(_ReplicaRow).where(_ReplicaRow.update_time < old))

        await self._database.run(work)

    async def leave(self, name: str) -> None:
        """Forgets a replica that stops."""
        await self._database.run(
            lambda session: session.execute(delete(_ReplicaRow).where(_ReplicaRow.name == name)) and None
        )

    async def living(self) -> list[Replica]:
        """The replicas that have said something lately, by name."""

        def work(session: Session) -> list[Replica]:
            present, lately = now(session), timedelta(seconds=_DEAD_S)
            # What was said in the future was said before the clock was set back: who lives says it again soon.
            heard = _ReplicaRow.update_time.between(present - lately, present + lately)
            query = select(_ReplicaRow).where(heard).order_by(_ReplicaRow.name)
            return [_replica(row) for row in session.scalars(query)]

        return await self._database.run(work)


@dataclass
class Follower:
    """Keeps this replica at the desired teacher.

    Args:
        registry: Says which teacher is desired.
        board: Told where this replica stands.
        pool: Its teachers.
        swaps: Makes the desired one active.
        forget: Called with each teacher in memory that was unregistered, wherever that was.
        name: This replica's name; made of host and process when empty.
        poll_s: Seconds between looks.
    """

    registry: TeacherRegistry
    board: ReplicaBoard
    pool: TeacherPool
    swaps: Swaps
    forget: Callable[[Teacher], None]
    name: str = ""
    poll_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _failure: str = ""
    _failed: Desired | None = None
    _retry_at: float = 0.0
    _said: tuple[ReplicaStatus, float] | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.name = self.name or f"{socket.gethostname()}-{os.getpid()}"

    async def start(self) -> None:
        """Follows once, so that a restart serves what was active, and from then on in the background."""
        self._tasks = [asyncio.create_task(self._beat_on())]
        await self.follow()
        self._tasks.append(asyncio.create_task(self._follow_on()))

    async def stop(self) -> None:
        """Stops following and takes this replica off the board."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.board.leave(self.name)

    async def follow(self) -> None:
        """Makes the desired teacher active here, frees those that are gone, and says where this replica stands."""
        desired = await self.registry.desired()
        # Taken before the registry is read: what is registered and loaded meanwhile is not gone.
        loaded = self.pool.teachers
        there = await self.registry.versions()
        for teacher in loaded:
            if (teacher.id, teacher.digest) not in there:
                self.forget(teacher)
        behind = desired.teacher_id and (self.pool.active is None or self.swaps.generation < desired.generation)
        if behind and (desired != self._failed or self.clock() >= self._retry_at):
            self._failure = ""
            await self._report(desired)
            await self._adopt(desired)
        await self._report(desired)

    async def everyone(self, desired: Desired) -> list[Replica]:
        """The living replicas by name, this one as it stands at this moment."""
        others = [replica for replica in await self.board.living() if replica.name != self.name]
        mine = Replica(self.name, self.status(desired), datetime.now(UTC))
        return sorted([*others, mine], key=lambda replica: replica.name)

    def status(self, desired: Desired) -> ReplicaStatus:
        """Where this replica stands."""
        active = self.pool.active.teacher.id if self.pool.active else ""
        failure = self._failure if desired == self._failed else ""
        return ReplicaStatus(active, desired.teacher_id, failure, tuple(sorted(self.pool.loaded_ids)))

    async def _adopt(self, desired: Desired) -> None:
        try:
            await self.swaps.adopt(desired)
        except Exception as error:
            # Serving without it lets an operator activate another, whatever is wrong with it.
            facts = {"teacher": desired.teacher_id, "reason": str(error)}
            log.exception("the desired teacher cannot be loaded", extra=facts)
            unknown = "it cannot be loaded; the replica's log says more"
            self._failure = error.message if isinstance(error, W2SError) else unknown
            self._failed, self._retry_at = desired, self.clock() + _RETRY_S

    async def _report(self, desired: Desired) -> None:
        status = self.status(desired)
        if self._said is None or self._said[0] != status or self.clock() - self._said[1] >= _REPORT_S:
            await self.board.report(self.name, status)
            self._said = (status, self.clock())

    async def _follow_on(self) -> None:
        await self._every(self.poll_s, self.follow)

    async def _beat_on(self) -> None:
        # A replica that loads a teacher for minutes is alive meanwhile.
        await self._every(_REPORT_S, self._beat)

    async def _beat(self) -> None:
        await self._report(await self.registry.desired())

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:
                # A database that is away comes back; what is active goes on serving.
                log.exception("cannot follow the desired teacher")


def _replica(row: _ReplicaRow) -> Replica:
    status = ReplicaStatus(row.active, row.target, row.failure, tuple(row.loaded))
    return Replica(row.name, status, utc(row.update_time))
