"""Opens the database that a service keeps its state in."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, DateTime, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from w2s.errors import InvalidArgument, Unavailable
from w2s.migrations import JOBS, History
from w2s.outages import database_outage

T = TypeVar("T")

_SQLITE_PATIENCE_S = 30
# libpq's own: a host that is gone without a word is noticed in half a minute, and not when the kernel gives it up.
_POSTGRES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
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
        self._file = _file_of(self._engine)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")

    async def run(self, work: Callable[[Session], T]) -> T:
        """Runs `work` in a transaction of its own: committed when it returns, undone when it raises.

        Raises:
            Unavailable: The database is locked or away. The work is undone, unless a server went away in mid-commit.
            ResourceExhausted, FailedPrecondition: Its disk is full, or read-only.
        """

        def transaction() -> T:
            self._check_file()
            try:
                with Session(self._engine, expire_on_commit=False) as session, session.begin():
                    return work(session)
            except DBAPIError as error:
                raise database_outage(error) or error from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    def _check_file(self) -> None:
        # SQLite would write on into a file that was removed, and all that it said was stored would be lost.
        if self._file != _file_of(self._engine):
            raise Unavailable(
                f"the database's file {self._engine.url.database} is gone or another one: "
                "put back the one that was opened, or start the service again"
            )

    def close(self) -> None:
        """Waits for the work in hand and closes the connections."""
        self._thread.shutdown()
        self._engine.dispose()


def now(session: Session) -> datetime:
    """The time of day by the one clock that all users of the database share."""
    if session.get_bind().dialect.name == "sqlite":
        # They are all on this host.
        return datetime.now(UTC)
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()


def lease_clock(session: Session) -> datetime:
    """The time that leases are counted in, by the clock of `now` or one that nobody sets; not to be shown."""
    if session.get_bind().dialect.name == "sqlite":
        # Of this host, as its processes are, since its start: what sets the time of day does not move it.
        return datetime.fromtimestamp(time.monotonic(), UTC)
    return now(session)


def utc(time: datetime) -> datetime:
    """A stored time: SQLite gives it back without its zone, PostgreSQL in its own."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _file_of(engine: Engine) -> tuple[int, int] | None:
    """Which file a SQLite database is in, by device and inode; None for others, and where there is none."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    try:
        found = os.stat(engine.url.database)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _engine(url: str) -> Engine:
    if _parsed(url).get_backend_name() != "sqlite":
        # A server may have gone and come back since a connection was last used.
        return create_engine(url, pool_pre_ping=True, connect_args=_POSTGRES)
    engine = create_engine(url, connect_args={"timeout": _SQLITE_PATIENCE_S})
    _tune_sqlite(engine)
    return engine


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ValueError:
        parsed = None
    # What is taken for a port or a host then may be part of a password, and errors would quote it.
    if parsed is None or "@" in (parsed.host or ""):
        raise InvalidArgument("database_url", "is malformed; write @ : / in a password as %40 %3A %2F")
    return parsed


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
