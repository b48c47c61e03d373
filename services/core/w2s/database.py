"""Opens the database that a service keeps its state in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from w2s.errors import InvalidArgument

T = TypeVar("T")


class Base(DeclarativeBase):
    """Base of all tables."""


class Database:
    """A database whose work runs in one thread, off the event loop and in order.

    Args:
        url: A SQLAlchemy URL, such as `sqlite:///state.db` or `postgresql+psycopg://...`.

    Raises:
        InvalidArgument: The URL is malformed, or the database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url)
            if self._engine.dialect.name == "sqlite":
                _tune_sqlite(self._engine)
            Base.metadata.create_all(self._engine)
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


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=10000")
