from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text
from support.postgres import new_database
from support.tables import differences

# The tables of these three are compared.
import w2s.jobs  # noqa: F401
import w2s_supervisor.replicas
import w2s_supervisor.teachers  # noqa: F401
from w2s.database import Base, Database
from w2s.errors import InvalidArgument
from w2s_supervisor.migrations import TEACHERS

OWN = ("teachers", "desired_teacher", "replicas")


@pytest.fixture
def url(tmp_path):
    """An empty database: SQLite, or PostgreSQL where a server was started for the tests."""
    return new_database() or f"sqlite:///{tmp_path}/state.db"


def tables(url):
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_a_new_database_has_what_the_models_say(url):
    Database(url, TEACHERS).close()
    assert differences(url, "w2s", "w2s_supervisor") == []


def test_a_database_that_another_service_made_gets_the_teachers(url):
    Database(url).close()
    assert not tables(url) & set(OWN)
    Database(url, TEACHERS).close()
    assert tables(url) == {"jobs", "job_events", *OWN, "alembic_version", "alembic_version_supervisor"}
    assert differences(url, "w2s", "w2s_supervisor") == []


def test_teachers_from_before_revisions_are_kept(url):
    make_old(url)
    Database(url, TEACHERS).close()
    assert query(url, "SELECT generation, teacher_id FROM desired_teacher") == [(3, "b")]
    assert query(url, "SELECT version_num FROM alembic_version_supervisor") == [(TEACHERS.revisions[-1],)]


def test_teachers_of_no_release_are_refused(url):
    make_old(url, "ALTER TABLE replicas DROP COLUMN failure")
    with pytest.raises(InvalidArgument, match=r"database_url: .*replicas should have the columns active, failure,"):
        Database(url, TEACHERS)
    # Those of the jobs are undone with it.
    assert tables(url) == set(OWN)


def make_old(url, *changes):
    """Makes the tables of the first revision, which is the newest, without a note of it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.create_all(connection, [Base.metadata.tables[name] for name in OWN])
        connection.execute(text("INSERT INTO desired_teacher VALUES (1, 3, 'b', 'a', '0')"))
        for change in changes:
            connection.execute(text(change))
    engine.dispose()


def query(url, statement):
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(statement))]
    engine.dispose()
    return rows
