from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import stand_in_run

from w2s.artifacts import ArtifactStore
from w2s.jobs import Job, State
from w2s.jobs.owner import new_owner
from w2s_trainer.launch.launcher import LocalLauncher
from w2s_trainer.settings import TrainerSettings

TESTS = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def settings(tmp_path, store):
    """Makes settings: `settings(slots=2)`."""

    def make(**fields):
        common = {"artifact_root": store.root, "database_url": "", "cache_folder": tmp_path / "cache", "device": "cpu"}
        return TrainerSettings(**{**common, **fields})

    return make


@pytest.fixture
def job(store):
    """Makes a job of a stand-in run: `job("steps", processes=2)`."""

    def make(work, id_="", **resources):
        return Job(
            id=id_ or work,
            kind="runs",
            spec=stand_in_run.spec(work, store.root),
            extra={"resources": resources} if resources else {},
            state=State.RUNNING,
            attempt=1,
            create_time=datetime.now(UTC),
            start_time=None,
            end_time=None,
            progress=None,
            result=None,
            error_code=0,
            error_message="",
        )

    return make


@pytest.fixture
def local(settings, store, monkeypatch):
    """Makes launchers of stand-in runs on this machine."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    made = []

    def make(**fields):
        launcher = LocalLauncher(
            settings(**fields), store, new_owner(), child=stand_in_run.child, module="support.stand_in_run"
        )
        made.append(launcher)
        return launcher

    yield make
    for launcher in made:
        launcher.close()


class Reports(list):
    """What a run has reported, from any thread."""

    def __call__(self, progress):
        self.append(progress)

    async def until(self, condition, timeout_s=60):
        """The first progress of which the condition holds."""
        async with asyncio.timeout(timeout_s):
            while not (found := [progress for progress in self if condition(progress)]):
                await asyncio.sleep(0.02)
        return found[0]


@pytest.fixture
def reports():
    return Reports()


@pytest.fixture
def alive():
    """Whether a process has not ended."""

    def check(pid):
        try:
            state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in ("Z", "X")

    assert check(os.getpid())
    return check


@pytest.fixture
def cancelled():
    """Cancels an execution with a reason, and returns the seconds it took to end."""

    async def cancel(task, *reason):
        begun = asyncio.get_running_loop().time()
        task.cancel(*reason)
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time() - begun

    return cancel
