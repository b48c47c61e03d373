from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from sqlalchemy import text

from w2s.database import Database
from w2s.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable


@pytest.fixture
async def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/state.db")
    await database.run(lambda session: session.execute(text("CREATE TABLE things (n INTEGER)")))
    yield database
    database.close()


def count(session) -> int:
    return session.scalar(text("SELECT count(*) FROM things"))


def insert(session) -> None:
    session.execute(text("INSERT INTO things VALUES (1)"))


async def test_work_that_returns_is_committed(database):
    await database.run(insert)
    assert await database.run(count) == 1


async def test_work_that_raises_is_undone(database):
    def fail(session):
        insert(session)
        raise RuntimeError("after the insert")

    with pytest.raises(RuntimeError, match="after the insert"):
        await database.run(fail)
    assert await database.run(count) == 0


@pytest.mark.parametrize("url", ["", "no url", "sqlite"])
def test_a_malformed_url_is_refused(url):
    with pytest.raises(InvalidArgument, match="database_url"):
        Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://w2s:{}@127.0.0.1:1/w2s",
        "postgresql+psycopg://w2s:a@{}@127.0.0.1:1/w2s",
        "postgresql+psycopg://w2s:12:{}",
        "postgresql+psycopg://w2s@127.0.0.1:{}/w2s",
        "postgresql+psycopg://127.0.0.1:1/w2s?password={}&nosuch=1",
        "postgresql+nosuch://w2s:{}@127.0.0.1/w2s",
        "nosuch://w2s:{}@127.0.0.1/w2s",
        "{}",
    ],
)
def test_no_password_is_quoted_whatever_is_wrong_with_the_url(url):
    with pytest.raises(InvalidArgument, match="database_url") as caught:
        Database(url.format("pa55word"))
    assert "pa55word" not in str(caught.value)


async def test_what_two_processes_read_and_then_write_at_once_is_not_lost(database, tmp_path):
    other = Database(f"sqlite:///{tmp_path}/state.db")
    await database.run(lambda session: session.execute(text("INSERT INTO things VALUES (0)")))

    def add(session):
        n = session.scalar(text("SELECT n FROM things"))
        session.execute(text("UPDATE things SET n = :n"), {"n": n + 1})

    await asyncio.gather(*(each.run(add) for _ in range(100) for each in (database, other)))
    assert await database.run(lambda session: session.scalar(text("SELECT n FROM things"))) == 200
    other.close()


async def test_work_waits_for_another_process_that_writes(database, tmp_path):
    other = Database(f"sqlite:///{tmp_path}/state.db")
    held, let_go = Event(), Event()

    def hold(session):
        insert(session)
        held.set()
        let_go.wait(10)

    holding = asyncio.create_task(other.run(hold))
    await asyncio.to_thread(held.wait, 10)
    waiting = asyncio.create_task(database.run(insert))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    let_go.set()
    await asyncio.gather(holding, waiting)
    assert await database.run(count) == 2
    other.close()


def test_processes_that_start_at_once_open_one_new_database(tmp_path):
    servers = 6
    together = Barrier(servers, timeout=10)

    def open_it(file):
        together.wait()
        return Database(f"sqlite:///{file}")

    with ThreadPoolExecutor(servers) as threads:
        for number in range(10):
            for database in threads.map(open_it, [tmp_path / f"{number}.db"] * servers):
                database.close()


async def test_a_process_that_starts_waits_for_one_that_fills_a_file_in_another_mode(tmp_path):
    """SQLite would refuse the change to the write-ahead log at once."""
    filling = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    filling.execute("BEGIN IMMEDIATE")
    opening = asyncio.create_task(asyncio.to_thread(Database, f"sqlite:///{tmp_path}/state.db"))
    await asyncio.sleep(0.1)
    assert not opening.done()
    filling.execute("COMMIT")
    database = await opening
    assert await database.run(lambda session: session.scalar(text("PRAGMA journal_mode"))) == "wal"
    database.close()
    filling.close()


async def test_a_database_that_another_process_keeps_is_unavailable_and_then_back(tmp_path, monkeypatch):
    monkeypatch.setattr("w2s.database._SQLITE_PATIENCE_S", 0.1)
    database = Database(f"sqlite:///{tmp_path}/state.db")
    await database.run(lambda session: session.execute(text("CREATE TABLE things (n INTEGER)")))
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="the database cannot be used now: database is locked"):
        await database.run(insert)
    other.execute("ROLLBACK")
    await database.run(insert)
    assert await database.run(count) == 1
    other.close()
    database.close()


async def test_nothing_is_stored_in_a_file_that_is_gone(database, tmp_path):
    await database.run(insert)
    (tmp_path / "state.db").rename(tmp_path / "aside")
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"state\.db is gone or another one: put back the one that was opened"):
            await database.run(insert)
    (tmp_path / "state.db").touch()
    with pytest.raises(Unavailable, match="another one"):
        await database.run(insert)
    (tmp_path / "aside").replace(tmp_path / "state.db")
    await database.run(insert)
    assert await database.run(count) == 2


async def test_a_full_disk_is_named_and_what_was_stored_is_kept(database):
    """SQLite's own bound on pages fails as a full disk does."""
    await database.run(insert)
    pages = await database.run(lambda session: session.scalar(text("PRAGMA page_count")))
    await database.run(lambda session: session.execute(text(f"PRAGMA max_page_count = {pages}")))
    with pytest.raises(ResourceExhausted, match="no space left on the device while writing the database"):
        await database.run(lambda session: session.execute(text("CREATE TABLE more AS SELECT hex(randomblob(9999))")))
    await database.run(lambda session: session.execute(text(f"PRAGMA max_page_count = {pages + 99}")))
    await database.run(insert)
    assert await database.run(count) == 2


async def test_a_database_that_may_only_be_read_says_so(database):
    await database.run(insert)

    def read_only(session):
        session.execute(text("PRAGMA query_only = 1"))
        insert(session)

    with pytest.raises(FailedPrecondition, match="the disk is read-only: make it writable for the database"):
        await database.run(read_only)
