"""The registry of teachers, and which one should be active."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import JSON, Boolean, DateTime, Integer, String, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, Database, utc
from w2s.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from w2s.paging import decode_token, encode_token, page_size
from w2s_supervisor.backends.protocol import Ability, Identity
from w2s_supervisor.spec import TeacherSpec

_NUMBER = re.compile(r"[0-9]{1,9}")


T = TypeVar("T")


@dataclass(frozen=True)
class Teacher:
    """A registered teacher; immutable.

    Attributes:
        id: Its id; `teachers/<id>` is its name.
        spec: What answers for it.
        identity: Who it was when it was registered.
        create_time: When that was, UTC.
    """

    id: str
    spec: TeacherSpec
    identity: Identity
    create_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"teachers/{self.id}"

    @property
    def digest(self) -> str:
        """The digest over all that decides its answers."""
        return self.identity.digest

    @property
    def revision(self) -> str:
        """Where its weights came from."""
        return self.identity.revision

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes, in the order of its probabilities; empty when it cannot label."""
        return self.identity.label_names

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can be asked."""
        return self.identity.abilities

    @property
    def version(self) -> tuple[str, str, str]:
        """Name, revision and digest: what every label carries."""
        return self.name, self.revision, self.digest


@dataclass(frozen=True)
class Desired:
    """What every replica converges to.

    Attributes:
        generation: Grows by one with every flip.
        teacher_id: The active teacher; empty before the first.
        previous_id: The one that was active before; empty for none.
        drain_first: It does not fit beside the one before.
    """

    generation: int = 0
    teacher_id: str = ""
    previous_id: str = ""
    drain_first: bool = False


class _TeacherRow(Base):
    __tablename__ = "teachers"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(63), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    revision: Mapped[str] = mapped_column(String(256))
    digest: Mapped[str] = mapped_column(String(71))
    source_digest: Mapped[str] = mapped_column(String(71))
    label_names: Mapped[list[str]] = mapped_column(JSON)
    abilities: Mapped[list[str]] = mapped_column(JSON)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class _DesiredRow(Base):
    __tablename__ = "desired_teacher"

    # One row: what a restart activates again, and what other replicas follow.
    slot: Mapped[int] = mapped_column(Integer, primary_key=True)
    generation: Mapped[int] = mapped_column(Integer)
    teacher_id: Mapped[str] = mapped_column(String(63))
    previous_id: Mapped[str] = mapped_column(String(63))
    drain_first: Mapped[bool] = mapped_column(Boolean)


class TeacherRegistry:
    """Teachers in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, id_: str) -> Teacher | None:
        """The teacher of that id, or None."""

        def work(session: Session) -> Teacher | None:
            row = _row(session, id_)
            return _teacher(row) if row else None

        return await self._database.run(work)

    async def get(self, id_: str) -> Teacher:
        """The teacher of that id; NotFound when there is none."""
        teacher = await self.find(id_)
        if teacher is None:
            raise NotFound(f"there is no teachers/{id_}")
        return teacher

    async def register(self, id_: str, spec: TeacherSpec, identity: Identity) -> Teacher:
        """Adds a teacher, or finds the same one.

        Raises:
            AlreadyExists: The id belongs to a teacher with another spec or digest.
        """

        def work(session: Session) -> Teacher:
            row = _row(session, id_)
            if row is None:
                row = _TeacherRow(
                    id=id_,
                    spec=spec.model_dump(mode="json", exclude_unset=True),
                    revision=identity.revision,
                    digest=identity.digest,
                    source_digest=identity.source_digest,
                    label_names=list(identity.label_names),
                    abilities=sorted(identity.abilities),
                    create_time=datetime.now(UTC),
                )
                session.add(row)
            elif row.digest != identity.digest or _teacher(row).spec.backend != spec.backend:
                raise AlreadyExists(f"teachers/{id_} is another teacher ({row.digest}); use another teacher_id")
            return _teacher(row)

        return await self._insert(work)

    async def unregister(self, id_: str) -> None:
        """Forgets a teacher.

        Raises:
            NotFound: There is none of that id.
            FailedPrecondition: It is the active one, or a member of an ensemble.
        """

        def work(session: Session) -> None:
            if _row(session, id_) is None:
                raise NotFound(f"there is no teachers/{id_}")
            desired = _desired(session, lock=True)
            if desired.teacher_id == id_:
                raise FailedPrecondition(f"teachers/{id_} is active; activate another first")
            for row in session.scalars(select(_TeacherRow)):
                ensemble = _teacher(row).spec.ensemble
                if ensemble and id_ in ensemble.member_ids:
                    raise FailedPrecondition(f"teachers/{id_} is a member of teachers/{row.id}; unregister that first")
            if desired.previous_id == id_:
                session.merge(_DesiredRow(slot=1, **{**vars(desired), "previous_id": ""}))
            session.execute(delete(_TeacherRow).where(_TeacherRow.id == id_))

        await self._database.run(work)

    async def versions(self) -> set[tuple[str, str]]:
        """Id and digest of every teacher."""
        query = select(_TeacherRow.id, _TeacherRow.digest)
        return await self._database.run(lambda session: {(id_, digest) for id_, digest in session.execute(query)})

    async def page(self, size: int, token: str) -> tuple[list[Teacher], str]:
        """A page of teachers, oldest first, and the token of the next page."""
        size, key = page_size(size), decode_token(token)
        if key and not _NUMBER.fullmatch(key):
            raise InvalidArgument("page_token", "is not a token that a list call returned")

        def work(session: Session) -> tuple[list[Teacher], str]:
            query = select(_TeacherRow).order_by(_TeacherRow.number)
            if key:
                query = query.where(_TeacherRow.number > int(key))
            rows: Sequence[_TeacherRow] = session.scalars(query.limit(size + 1)).all()
            more = len(rows) > size
            return [_teacher(row) for row in rows[:size]], encode_token(str(rows[size - 1].number)) if more else ""

        return await self._database.run(work)

    async def desired(self) -> Desired:
        """What every replica should have active."""
        return await self._database.run(_desired)

    async def set_desired(self, id_: str, drain_first: bool) -> Desired:
        """Makes a teacher the desired one, and the one before it the previous one.

        Raises:
            NotFound: It was unregistered meanwhile.
        """

        def work(session: Session) -> Desired:
            if _row(session, id_) is None:
                raise NotFound(f"there is no teachers/{id_}")
            old = _desired(session, lock=True)
            previous = old.previous_id if old.teacher_id == id_ else old.teacher_id
            new = Desired(old.generation + 1, id_, previous, drain_first)
            session.merge(_DesiredRow(slot=1, **vars(new)))
            return new

        return await self._insert(work)

    async def _insert(self, work: Callable[[Session], T]) -> T:
        """Runs work that may insert a row which another replica inserts at the same time; it finds that row then."""
        try:
            return await self._database.run(work)
        except IntegrityError:
            return await self._database.run(work)


def _row(session: Session, id_: str) -> _TeacherRow | None:
    return session.scalar(select(_TeacherRow).where(_TeacherRow.id == id_))


def _desired(session: Session, lock: bool = False) -> Desired:
    row = session.get(_DesiredRow, 1, with_for_update=lock)
    return Desired(row.generation, row.teacher_id, row.previous_id, row.drain_first) if row else Desired()


def _teacher(row: _TeacherRow) -> Teacher:
    abilities = frozenset(Ability(name) for name in row.abilities)
    identity = Identity(row.revision, row.digest, tuple(row.label_names), abilities, row.source_digest)
    return Teacher(row.id, TeacherSpec.model_validate(row.spec), identity, utc(row.create_time))
