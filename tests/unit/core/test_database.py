from __future__ import annotations

import pytest
from sqlalchemy import text

from w2s.database import Database
from w2s.errors import InvalidArgument


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
