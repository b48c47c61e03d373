"""Runs of several processes under torchrun."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest
from support.stand_in_run import STEPS

from w2s_trainer.launch import RunFailed
from w2s_trainer.launch.processes import marked


def parent(pid):
    return int(Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def hanging(local, job, reports):
    """A run of two processes that hear no SIGTERM, as it hangs: its task, and the pids that rank 0 knows."""

    async def start(**settings):
        task = asyncio.create_task(local(slots=2, **settings).execute(job("hang", processes=2), reports))
        found = await reports.until(lambda progress: progress.stage == "hang")
        return task, found.metrics.values()

    return start


async def test_each_process_knows_its_place_and_its_share(local, job, reports):
    run = job("facts", processes=2)
    run.extra["commits"] = commits = {"hf://org/name@main": "a" * 40}
    facts = await local(threads=7, slots=2, checkpoint_seconds=7.5).execute(run, reports)
    assert facts == {
        "rank": 0,
        "world": 2,
        "threads": 3,
        "gpus": None,
        "checkpoint_seconds": 7.5,
        "commits": commits,
    }


async def test_a_killed_rank_takes_the_run_to_its_checkpoint(local, job, reports):
    task = asyncio.create_task(local(slots=2).execute(job("steps", processes=2), reports))
    await reports.until(lambda progress: progress.step == 3)
    (pid,) = marked_by_rank(0)
    os.kill(pid, signal.SIGKILL)
    result = await task
    assert result["begun"] >= 3
    # What was done again is told again; nothing comes out of order within a launch.
    assert reports[-1].step == STEPS


def marked_by_rank(rank):
    """Processes of this one's torchrun with that rank; other tests may have theirs meanwhile."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            variables = process.environ()
            if "W2S_LAUNCH" in variables and variables.get("RANK") == str(rank):
                yield process.pid


async def test_an_error_of_any_rank_is_the_runs(local, job, reports):
    with pytest.raises(RunFailed, match=r"^model\.layers: at most 6$") as caught:
        await local(slots=2).execute(job("refuse-on-rank-1", processes=2), reports)
    assert caught.value.code == 3


async def test_processes_that_die_again_and_again_fail_the_run(local, job, reports):
    with pytest.raises(RunFailed, match="died 2 times in a row without a new checkpoint: it ended with code 1"):
        await local(slots=2, max_restarts=2).execute(job("die", processes=2), reports)


async def test_cancelled_processes_end_at_once_and_leave_nothing(hanging, alive, cancelled):
    task, pids = await hanging(checkpoint_grace_s=60)
    launch = next(
        variable.partition(b"=")[2].decode()
        for variable in Path(f"/proc/{int(next(iter(pids)))}/environ").read_bytes().split(b"\0")
        if variable.startswith(b"W2S_LAUNCH=")
    )
    # torchrun, two ranks and their children.
    while len(marked(launch)) < 5:
        await asyncio.sleep(0.02)
    assert await cancelled(task, "cancelled") < 10
    assert marked(launch) == []
    assert not any(map(alive, pids))


async def test_stopped_processes_that_do_not_hear_are_killed_after_their_grace(hanging, alive, cancelled):
    task, pids = await hanging(checkpoint_grace_s=0.5)
    assert 0.5 <= await cancelled(task, "stopping") < 10
    assert not any(map(alive, pids))


async def test_stopped_processes_write_a_checkpoint_first(local, store, job, reports, cancelled):
    launcher = local(slots=2, checkpoint_grace_s=30)
    task = asyncio.create_task(launcher.execute(job("steps", processes=2), reports))
    await reports.until(lambda progress: progress.step == 3)
    assert await cancelled(task, "stopping") < 20
    reached = int(store.workspace("models", "steps").read("step"))
    assert 3 <= reached < STEPS
    assert (await launcher.execute(job("steps", processes=2), reports))["begun"] == reached


async def test_ranks_of_a_killed_torchrun_end_too(hanging, alive, cancelled):
    task, (pid, child) = await hanging(max_restarts=1)
    os.kill(parent(pid), signal.SIGKILL)
    with pytest.raises(RunFailed, match="was killed by signal 9"):
        await task
    assert not any(map(alive, (pid, child)))
