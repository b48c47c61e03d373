from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest

from w2s.database import Database
from w2s.jobs import JobManager, JobStore


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/jobs.db")
    yield database
    database.close()


@pytest.fixture
def elsewhere(tmp_path):
    """The same database as another server opens it."""
    database = Database(f"sqlite:///{tmp_path}/jobs.db")
    yield database
    database.close()


@pytest.fixture
def job_store(database):
    return JobStore(database, "runs")


@pytest.fixture
def other_store(elsewhere):
    return JobStore(elsewhere, "runs")


@pytest.fixture(scope="session")
def dead_owner():
    """An owner whose process has ended."""
    code = "from w2s.jobs.owner import new_owner; print(new_owner())"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


class Work:
    """Work under the test's control: each attempt says that it began and waits to be let go."""

    def __init__(self) -> None:
        self.began: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.go: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.attempts: list[tuple[str, int]] = []
        self.reports: list = []
        self.error: BaseException | None = None

    async def __call__(self, job, report):
        self.attempts.append((job.id, job.attempt))
        for progress in self.reports:
            report(progress)
        self.began[job.id].set()
        await self.go[job.id].wait()
        if self.error:
            raise self.error
        return {"made": job.spec}


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def serve(database, work):
    """Runs a manager; several in turn are a server and its restarts, several at once are replicas."""

    @asynccontextmanager
    async def serve(over=database, **options):
        manager = JobManager(JobStore(over, "runs"), options.pop("execute", work), **options)
        await manager.start()
        try:
            yield manager
        finally:
            await manager.stop()

    return serve
