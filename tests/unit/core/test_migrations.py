from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from support.postgres import new_database
from support.tables import differences

import w2s.jobs  # noqa: F401 - its tables are compared.
from w2s.database import Database
from w2s.errors import InvalidArgument
from w2s.migrations import History

# What a server made before there were revisions.
JOBS_TABLE = """
CREATE TABLE jobs (
    kind VARCHAR(32) NOT NULL, id VARCHAR(63) NOT NULL, number INTEGER NOT NULL, spec JSON NOT NULL,
    extra JSON NOT NULL, state VARCHAR(32) NOT NULL, attempt INTEGER NOT NULL, create_time {time} NOT NULL,
    start_time {time}, end_time {time}, progress JSON, result JSON, error_code INTEGER NOT NULL,
    error_message TEXT NOT NULL, owner VARCHAR(255) NOT NULL, lease_until {time}, cancel_requested BOOLEAN NOT NULL,
    PRIMARY KEY (kind, id), UNIQUE (kind, number)
)"""
EVENTS_TABLE = """
CREATE TABLE job_events (
    kind VARCHAR(32) NOT NULL, job_id VARCHAR(63) NOT NULL, sequence INTEGER NOT NULL, time {time} NOT NULL,
    state VARCHAR(32) NOT NULL, progress JSON, error_code INTEGER NOT NULL, error_message TEXT NOT NULL,
    PRIMARY KEY (kind, job_id, sequence), FOREIGN KEY(kind, job_id) REFERENCES jobs (kind, id) ON DELETE CASCADE
)"""
INDEX = "CREATE INDEX ix_jobs_state ON jobs (state)"
JOB = """INSERT INTO jobs
    (kind, id, number, spec, extra, state, attempt, create_time, error_code, error_message, owner, cancel_requested)
    VALUES ('runs', '{id}', {number}, '[1]', '[]', 'failed', 2, '2026-01-02 03:04:05', 13, 'lost', '', '0')"""
EVENT = """INSERT INTO job_events (kind, job_id, sequence, time, state, error_code, error_message)
    VALUES ('runs', 'first', 1, '2026-01-02 03:04:05', 'failed', 13, 'lost')"""
VERSION = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0001')",
)

# Opens each database when a line comes, and says which modules it took.
SERVER = """
import sys
from w2s.database import Database
for url in sys.argv[1:]:
    print("ready", flush=True)
    sys.stdin.readline()
    Database(url).close()
print("alembic" in sys.modules, flush=True)
"""


@pytest.fixture
def new(tmp_path):
    """Makes an empty database: SQLite, or PostgreSQL where a server was started for the tests."""
    numbers = iter(range(10))
    return lambda: new_database() or f"sqlite:///{tmp_path}/{next(numbers)}.db"


@pytest.fixture
def url(new):
    return new()


def run(url, *statements):
    """Runs statements in one transaction; returns the rows of the last, if it has some."""
    engine = create_engine(url)
    time = "DATETIME" if engine.dialect.name == "sqlite" else "TIMESTAMP WITH TIME ZONE"
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA foreign_keys=ON"))
        for statement in statements:
            result = connection.execute(text(statement.replace("{time}", time).replace(":", "\\:")))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def columns(url):
    """The columns of each table."""
    engine = create_engine(url)
    found = inspect(engine)
    tables = {name: [column["name"] for column in found.get_columns(name)] for name in found.get_table_names()}
    engine.dispose()
    return tables


def start(*urls):
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, *urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A package with a history of its own, and a function that adds a revision to it."""
    versions = tmp_path / "ledger" / "versions"
    versions.mkdir(parents=True)
    for folder in (versions.parent, versions):
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def add(number, before, *lines):
        head = f"import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = {number!r}, {before!r}\n"
        (versions / f"{number}_change.py").write_text(head + "def upgrade():\n    " + "\n    ".join(lines))

    add("0001", None, "op.create_table('ledger', sa.Column('n', sa.Integer, primary_key=True))")
    yield History("ledger", "alembic_version_ledger"), add
    for name in [name for name in sys.modules if name.split(".")[0] == "ledger"]:
        del sys.modules[name]


def test_a_new_database_has_what_the_models_say(url):
    Database(url).close()
    assert differences(url, "w2s") == []


@pytest.mark.parametrize("noted", [(), VERSION], ids=["from before revisions", "at the first revision"])
def test_an_older_database_keeps_its_rows_and_its_constraints(url, noted):
    run(url, JOBS_TABLE, EVENTS_TABLE, INDEX, *noted, JOB.format(id="first", number=1), EVENT)
    Database(url).close()
    assert differences(url, "w2s") == []
    kept = "SELECT id, number, attempt, error_message, priority, size FROM jobs"
    assert run(url, kept) == [("first", 1, 2, "lost", 0, 1)]
    assert run(url, "SELECT job_id, sequence, error_code FROM job_events") == [("first", 1, 13)]
    with pytest.raises(IntegrityError):
        run(url, JOB.format(id="second", number=1))
    assert run(url, "DELETE FROM jobs", "SELECT count(*) FROM job_events") == [(0,)]


@pytest.mark.parametrize(
    ("tables", "wrong"),
    [
        ((JOBS_TABLE.replace("owner VARCHAR(255) NOT NULL,", ""), EVENTS_TABLE), "jobs should have .*owner"),
        ((JOBS_TABLE, EVENTS_TABLE, "ALTER TABLE job_events ADD COLUMN mine INTEGER"), "job_events should have"),
        ((JOBS_TABLE,), "job_events should have"),
    ],
    ids=["a column less", "a column more", "a table less"],
)
def test_tables_that_no_release_made_are_refused_and_left_alone(url, tables, wrong):
    run(url, *tables)
    before = columns(url)
    with pytest.raises(InvalidArgument, match=f"database_url: .*{wrong}.*give an empty database"):
        Database(url)
    assert columns(url) == before


def test_a_database_of_a_newer_release_is_refused_and_left_alone(url):
    Database(url).close()
    run(url, "UPDATE alembic_version SET version_num = '0999'", "ALTER TABLE jobs ADD COLUMN later INTEGER")
    before = columns(url)
    with pytest.raises(InvalidArgument, match=r"database_url: .*newer release.*0999"):
        Database(url)
    assert columns(url) == before
    assert run(url, "SELECT version_num FROM alembic_version") == [("0999",)]


def test_histories_of_several_packages_go_on_apart(url, ledger):
    history, add = ledger
    Database(url).close()
    Database(url, history).close()
    add("0002", "0001", "op.add_column('ledger', sa.Column('extra', sa.Integer))")
    Database(url).close()
    assert columns(url)["ledger"] == ["n"]
    Database(url, history).close()
    assert columns(url)["ledger"] == ["n", "extra"]
    assert run(url, "SELECT version_num FROM alembic_version_ledger") == [("0002",)]


def test_a_revision_that_fails_leaves_the_database_as_it_was(url, ledger):
    history, add = ledger
    Database(url, history).close()
    run(url, "INSERT INTO ledger VALUES (7)")
    before = columns(url)
    add("0002", "0001", "op.add_column('ledger', sa.Column('extra', sa.Integer))", "op.execute('DELETE FROM ledger')")
    add("0003", "0002", "op.create_table('more', sa.Column('n', sa.Integer))", "op.execute('no statement')")
    with pytest.raises(InvalidArgument, match="database_url: cannot be opened"):
        Database(url, history)
    assert columns(url) == before
    assert run(url, "SELECT n FROM ledger") == [(7,)]
    assert run(url, "SELECT version_num FROM alembic_version_ledger") == [("0001",)]


def test_processes_that_start_at_once_upgrade_a_database_once(new):
    """Each of them: a new database, then an old one."""
    empty, old = new(), new()
    run(old, JOBS_TABLE, EVENTS_TABLE, INDEX, JOB.format(id="first", number=1))
    servers = [start(empty, old) for _ in range(3)]
    for _ in (empty, old):
        assert [server.stdout.readline() for server in servers] == ["ready\n"] * 3
        for server in servers:
            server.stdin.write("\n")
            server.stdin.flush()
    assert [server.communicate(timeout=60) and server.returncode for server in servers] == [0, 0, 0]
    for url in (empty, old):
        assert differences(url, "w2s") == []
    assert run(old, "SELECT id, size FROM jobs") == [("first", 1)]


def test_a_start_that_changes_nothing_does_not_load_alembic(new):
    fresh, ready = new(), new()
    Database(ready).close()
    said = [start(url).communicate("\n", timeout=60)[0].split() for url in (fresh, ready)]
    assert said == [["ready", "True"], ["ready", "False"]]
