"""Runs of one process: what becomes of one that works, dies, is stopped or outlives its server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.stand_in_run import STEPS

from w2s.errors import InvalidArgument
from w2s_trainer.launch import RunFailed
from w2s_trainer.worker.order import Order, read_order

from .conftest import TESTS


def steps(reports):
    return [progress.step for progress in reports if progress.stage == "checkpoint"]


async def test_a_run_reports_in_order_and_returns_its_result(local, job, reports):
    result = await local().execute(job("steps"), reports)
    assert (result["steps"], result["begun"]) == (STEPS, 0)
    assert steps(reports) == list(range(1, STEPS + 1))


async def test_a_run_has_its_share_of_the_threads_and_its_settings_and_what_was_admitted(local, job, reports):
    run = job("facts")
    run.extra["commits"] = {"hf://org/name@main": "a" * 40}
    facts = await local(threads=6, slots=2, checkpoint_seconds=7.0).execute(run, reports)
    assert facts == {"rank": 0, "world": 1, "threads": 3, "gpus": None, "checkpoint_seconds": 7.0, **run.extra}


async def test_a_killed_run_goes_on_from_its_checkpoint(local, job, reports):
    result = await local().execute(job("die-once"), reports)
    assert result["begun"] == 4
    assert steps(reports) == list(range(1, STEPS + 1))


async def test_a_run_that_gets_on_between_its_deaths_may_die_often(local, job, reports):
    result = await local(max_restarts=2).execute(job("die-often"), reports)
    assert result["begun"] == 17


async def test_a_run_that_dies_again_and_again_fails(local, job, reports):
    with pytest.raises(
        RunFailed, match="died 3 times in a row without a new checkpoint: it was killed by signal 9"
    ) as caught:
        await local().execute(job("die"), reports)
    assert caught.value.code == 13
    assert [progress.stage for progress in reports] == ["load"] * 3


@pytest.mark.parametrize(
    ("work", "code", "message"),
    [
        ("refuse", 3, "model.layers: at most 6"),
        ("crash", 13, "KeyError: 'gone'"),
        ("fill-disk", 8, "no space left on the device while writing /data/weights"),
    ],
)
async def test_an_error_is_the_runs_own(local, job, reports, work, code, message):
    with pytest.raises(RunFailed) as caught:
        await local().execute(job(work), reports)
    assert (caught.value.code, caught.value.message) == (code, message)


async def test_a_run_without_memory_says_so(local, job, reports):
    with pytest.raises(RunFailed, match="needs more memory than there is") as caught:
        await local().execute(job("fill-memory"), reports)
    assert caught.value.code == 8


@pytest.mark.parametrize("reason", ["cancelled", "lost"])
async def test_a_cancelled_run_ends_at_once_and_leaves_nothing(local, job, reports, alive, cancelled, reason):
    task = asyncio.create_task(local(checkpoint_grace_s=30).execute(job("hang"), reports))
    pids = (await reports.until(lambda progress: progress.stage == "hang")).metrics.values()
    assert all(map(alive, pids))
    assert await cancelled(task, reason) < 5
    assert not any(map(alive, pids))


@pytest.mark.parametrize("reason", [("stopping",), ()])
async def test_a_stopped_run_writes_a_checkpoint_first(local, store, job, reports, cancelled, reason):
    launcher = local(checkpoint_grace_s=30)
    task = asyncio.create_task(launcher.execute(job("steps"), reports))
    await reports.until(lambda progress: progress.step == 3)
    assert await cancelled(task, *reason) < 10
    reached = int(store.workspace("models", "steps").read("step"))
    assert 3 <= reached < STEPS
    assert (await launcher.execute(job("steps"), reports))["begun"] == reached


async def test_a_stopped_run_that_does_not_hear_is_killed_after_its_grace(local, job, reports, alive, cancelled):
    task = asyncio.create_task(local(checkpoint_grace_s=0.5).execute(job("hang"), reports))
    pids = (await reports.until(lambda progress: progress.stage == "hang")).metrics.values()
    assert 0.5 <= await cancelled(task, "stopping") < 5
    assert not any(map(alive, pids))


async def test_a_run_that_is_lost_while_it_stops_ends_at_once(local, job, reports, alive, cancelled):
    task = asyncio.create_task(local(checkpoint_grace_s=60).execute(job("hang"), reports))
    pids = (await reports.until(lambda progress: progress.stage == "hang")).metrics.values()
    task.cancel("stopping")
    await asyncio.sleep(0.2)
    assert all(map(alive, pids))
    assert await cancelled(task, "lost") < 5
    assert not any(map(alive, pids))


async def test_a_run_that_is_stopped_twice_has_one_grace(local, job, reports, cancelled):
    task = asyncio.create_task(local(checkpoint_grace_s=60).execute(job("hang"), reports))
    await reports.until(lambda progress: progress.stage == "hang")
    for _ in range(2):
        task.cancel("stopping")
        await asyncio.sleep(0.1)
    assert len([thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]) == 1
    await cancelled(task, "cancelled")


async def test_a_run_that_somebody_else_stops_goes_on(local, job, reports):
    result = await local(max_restarts=1).execute(job("ask-to-stop"), reports)
    assert result["begun"] == 1


async def test_a_run_waits_for_its_slots(local, job, reports):
    launcher = local(slots=2)
    first, *others = [asyncio.create_task(launcher.execute(job("steps", f"run-{n}"), reports)) for n in range(3)]
    results = await asyncio.gather(first, *others)
    assert len({result["pid"] for result in results}) == 3


async def test_each_run_sees_its_own_gpus_only(local, job, reports, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5")
    launcher = local(device="auto")
    one, other = await asyncio.gather(*(launcher.execute(job("gpus", f"run-{n}"), reports) for n in range(2)))
    assert {one["gpus"], other["gpus"]} == {"4", "GPU-5"}
    both = await launcher.execute(job("gpus", processes=2), reports)
    assert both["gpus"] == "4,GPU-5"


async def test_more_than_this_machine_has_is_refused(local, job, reports):
    with pytest.raises(InvalidArgument, match=r"resources\.processes: at most 1, the server's slots, got 2"):
        await local().execute(job("steps", processes=2), reports)
    with pytest.raises(InvalidArgument, match=r"resources\.nodes"):
        await local().execute(job("steps", nodes=2), reports)


SERVER = """
import asyncio, sys
from w2s.artifacts import ArtifactStore
from w2s.jobs import Job, State
from w2s.jobs.owner import new_owner
from w2s_trainer.launch.launcher import LocalLauncher
from w2s_trainer.settings import TrainerSettings
from support import stand_in_run

root, folder, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def main():
    settings = TrainerSettings(artifact_root=root, database_url="", cache_folder=folder, device="cpu", slots=processes)
    launcher = LocalLauncher(
        settings, ArtifactStore(root), new_owner(), child=stand_in_run.child, module="support.stand_in_run"
    )
    spec = stand_in_run.spec("hang", root)
    job = Job("hang", "runs", spec, {"resources": {"processes": processes}}, State.RUNNING, 1, *[None] * 5, 0, "")
    await launcher.execute(job, lambda p: print(*map(int, p.metrics.values()), flush=True))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture(params=[1, 2])
def server(request, store, tmp_path, monkeypatch):
    """A server in a process of its own, with a run of 1 or 2 processes that hangs."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    command = [sys.executable, script, store.root, tmp_path / "cache", str(request.param)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def running(server, alive):
    """The processes of the server's run that it knows of, and what waits for their end."""
    pids = server.stdout.readline().split()
    assert all(map(alive, pids))

    def gone():
        deadline = time.monotonic() + 20
        while any(map(alive, pids)):
            assert time.monotonic() < deadline, "a run outlived its server"
            time.sleep(0.02)

    return gone


def test_no_run_outlives_a_killed_server(server, running):
    server.kill()
    running()


def test_a_run_of_a_frozen_server_ends_when_another_takes_it_over(server, running, store, job):
    server.send_signal(signal.SIGSTOP)
    later = Order(launch="later", attempt=2, spec=job("hang").spec)
    later.give(store.workspace("models", "hang"))
    running()
    # It does not begin the run again, either, before it has heard of its loss.
    server.send_signal(signal.SIGCONT)
    assert "FailedPrecondition: attempt 2 of the run has begun elsewhere" in server.communicate(timeout=30)[1]
    assert read_order(store.workspace("models", "hang")) == later
