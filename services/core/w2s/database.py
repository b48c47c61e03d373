"""Opens the database that a service keeps its state in."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from w2s.errors import InvalidArgument
from w2s.migrations import JOBS, History

T = TypeVar("T")

_SQLITE_PATIENCE_S = 30
# Which of PostgreSQL's advisory locks is held while tables are made: "w2s" in ASCII.
_TABLES_LOCK = 0x773273


class Base(DeclarativeBase):
    """Base of all tables."""


class Database:
    """A database whose work runs in one thread, off the event loop and in order.

    Several processes may use one database at once, a SQLite file too. Its tables are brought
    to what this release needs when it is opened.

    Args:
        url: A SQLAlchemy URL, such as `sqlite:///state.db` or `postgresql+psycopg://...`.
        histories: Those of the tables that are used besides the jobs'.

    Raises:
        InvalidArgument: The URL is malformed, the database cannot be opened, or it is of a
            newer release or of none.
    """

    def __init__(self, url: str, *histories: History) -> None:
        try:
            self._engine = _engine(url)
            with self._engine.begin() as connection:
                _make_tables(connection, (JOBS, *histories))
        except (SQLAlchemyError, ImportError) as error:
            raise InvalidArgument("database_url", f"cannot be opened: {str(error).splitlines()[0]}") from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")

    async def run(self, work: Callable[[Session], T]) -> T:
        """Runs `work` in a transaction of its own: committed when it returns, undone when it raises."""

        def transaction() -> T:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                return work(session)

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    def close(self) -> None:
        """Waits for the work in hand and closes the connections."""
        self._thread.shutdown()
        self._engine.dispose()


def now(session: Session) -> datetime:
    """The time by the one clock that all users of the database share."""
    if session.get_bind().dialect.name == "sqlite":
        # They are all on this host.
        return datetime.now(UTC)
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()


def utc(time: datetime) -> datetime:
    """A stored time: SQLite gives it back without its zone, PostgreSQL in its own."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        # A server may have gone and come back since a connection was last used.
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _SQLITE_PATIENCE_S})
    _tune_sqlite(engine)
    return engine


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def tune(connection: sqlite3.Connection, _: Any) -> None:
        # The driver begins nothing by itself: see "begin" below.
        connection.isolation_level = None
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # One that reads first and asks for the write lock later is refused at once if another wrote meanwhile.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _use_wal(connection: sqlite3.Connection) -> None:
    # When several processes change a new file's mode at once, SQLite refuses all but one without waiting.
    deadline = time.monotonic() + _SQLITE_PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The extended codes have the plain one in their lowest byte.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _make_tables(connection: Connection, histories: Iterable[History]) -> None:
    # Processes that start at once take turns; a SQLite transaction has the write lock already.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_TABLES_LOCK)))
    for history in histories:
        history.upgrade(connection)
