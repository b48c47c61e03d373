"""The registry of teachers, and which one is active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import JSON, DateTime, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, Database
from w2s.errors import AlreadyExists, NotFound
from w2s.paging import decode_token, encode_token, page_size


@dataclass(frozen=True)
class Teacher:
    """A registered teacher; immutable.

    Attributes:
        id: Its id; `teachers/<id>` is its name.
        uri: The model artifact.
        digest: The artifact's content digest.
        revision: The artifact's key: the run that trained it.
        label_names: The classes, in the order of its probabilities.
        create_time: When it was registered, UTC.
    """

    id: str
    uri: str
    digest: str
    revision: str
    label_names: list[str]
    create_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"teachers/{self.id}"

    @property
    def version(self) -> tuple[str, str, str]:
        """Name, revision and digest: what every label carries."""
        return self.name, self.revision, self.digest


class _TeacherRow(Base):
    __tablename__ = "teachers"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(63), unique=True)
    uri: Mapped[str] = mapped_column(String(2048))
    digest: Mapped[str] = mapped_column(String(71))
    revision: Mapped[str] = mapped_column(String(128))
    label_names: Mapped[list[str]] = mapped_column(JSON)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class _ActiveRow(Base):
    __tablename__ = "active_teacher"

    # One row: the teacher that every restart activates again.
    slot: Mapped[int] = mapped_column(Integer, primary_key=True)
    teacher_id: Mapped[str] = mapped_column(String(63))


class TeacherRegistry:
    """Teachers in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, id_: str, uri: str, digest: str, revision: str, label_names: list[str]) -> Teacher:
        """Adds a teacher, or finds the same one.

        Raises:
            AlreadyExists: The id belongs to a teacher with another model.
        """

        def work(session: Session) -> Teacher:
            row = session.scalar(select(_TeacherRow).where(_TeacherRow.id == id_))
            if row is None:
                row = _TeacherRow(id=id_, uri=uri, digest=digest, revision=revision, label_names=label_names)
                row.create_time = datetime.now(UTC)
                session.add(row)
            elif row.digest != digest:
                raise AlreadyExists(f"teachers/{id_} is {row.uri} ({row.digest}); use another teacher_id")
            return _teacher(row)

        return await self._database.run(work)

    async def get(self, id_: str) -> Teacher:
        """The teacher of that id; NotFound when there is none."""

        def work(session: Session) -> Teacher:
            row = session.scalar(select(_TeacherRow).where(_TeacherRow.id == id_))
            if row is None:
                raise NotFound(f"there is no teachers/{id_}")
            return _teacher(row)

        return await self._database.run(work)

    async def page(self, size: int, token: str) -> tuple[list[Teacher], str]:
        """A page of teachers, oldest first, and the token of the next page."""
        size, key = page_size(size), decode_token(token)

        def work(session: Session) -> tuple[list[Teacher], str]:
            query = select(_TeacherRow).order_by(_TeacherRow.number)
            if key.isdigit():
                query = query.where(_TeacherRow.number > int(key))
            rows = session.scalars(query.limit(size + 1)).all()
            more = len(rows) > size
            return [_teacher(row) for row in rows[:size]], encode_token(str(rows[size - 1].number)) if more else ""

        return await self._database.run(work)

    async def set_active(self, id_: str) -> None:
        """Records the active teacher."""
        await self._database.run(lambda session: session.merge(_ActiveRow(slot=1, teacher_id=id_)))

    async def active_id(self) -> str | None:
        """The id of the active teacher as recorded, or None."""

        def work(session: Session) -> str | None:
            row = session.get(_ActiveRow, 1)
            return row.teacher_id if row else None

        return await self._database.run(work)


def _teacher(row: _TeacherRow) -> Teacher:
    time = row.create_time if row.create_time.tzinfo else row.create_time.replace(tzinfo=UTC)
    return Teacher(row.id, row.uri, row.digest, row.revision, list(row.label_names), time)
