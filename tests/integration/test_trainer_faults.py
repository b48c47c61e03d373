"""Runs whose processes are killed, stopped and starved: they end as if nothing had happened, or say why not."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess

import psutil
import pytest

from w2s.common.v1 import common_pb2 as common
from w2s.trainer.v1 import trainer_pb2 as pb

# 120 examples, 32 a step: enough steps that a run is under way when it is hit.
EPOCHS = 60
STEPS = 240
EACH_STEP = "--checkpoint-seconds=0"


@pytest.fixture
def spec(bases, run_spec, labels):
    """A body that trains with dropout under an objective of whole batches: every state there is counts."""
    found = run_spec("transfer", labels=labels, layers=2, train_from_layer=0, epochs=EPOCHS, encoding="SINGLE")
    found.model.base.uri = f"file://{bases}/encoder"
    found.model.dropout = True
    found.training.learning_rate = 1e-4
    found.objective.auxiliary_confidence.SetInParent()
    return found


@pytest.fixture
def start(serve, bases):
    """Starts a trainer of a test's own; models this small gain nothing from more threads."""
    return lambda *flags: serve("trainer", f"--model-roots={bases}", "--threads=1", *flags)


@pytest.fixture(scope="module")
def undisturbed():
    """What an undisturbed run makes, once there is one."""
    return {}


@pytest.fixture
def expected(start, spec, undisturbed):
    """The digest of the model that the same run makes when nobody disturbs it."""
    if not undisturbed:
        server = start()
        with server.client() as trainer:
            run = trainer.train(spec, "undisturbed")
        server.kill()
        assert (run.status.state, run.result.steps) == (common.JOB_STATE_SUCCEEDED, STEPS), run.status.error.message
        undisturbed["digest"] = run.result.model.digest
    return undisturbed["digest"]


def runs_of(server):
    """The processes of a server's runs; the server's own children fork them."""
    children = psutil.Process(server.process.pid).children()
    return [run for child in children for run in child.children()]


def kill(processes):
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def step_of(event):
    return event.progress.step if event.progress.stage == "train" else -1


def test_a_worker_killed_at_random_steps_makes_the_same_model(start, spec, expected):
    server = start(EACH_STEP)
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id="worker-killed")
        after = 0
        for step in sorted(random.Random(0).sample(range(5, STEPS - 20), 3)):
            events = trainer.WatchRun(name=run.name, after_sequence=after)
            after = next(event.sequence for event in events if step_of(event) >= step)
            kill(runs_of(server))
        run = trainer.ended(run)
        events = list(trainer.WatchRun(name=run.name))
    assert (run.status.state, run.status.attempt) == (common.JOB_STATE_SUCCEEDED, 1), run.status.error.message
    # It went on from where it was, three times, and not from the beginning.
    starts = [event.progress.stage for event in events].count("load")
    assert starts == 4
    assert [step_of(event) for event in events].count(5) <= 1
    assert run.result.model.digest == expected


@pytest.mark.parametrize("victims", ["server", "both"])
def test_a_killed_server_goes_on_where_its_run_was(start, bases, gone, spec, expected, victims):
    server = start(EACH_STEP)
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id=f"killed-{victims}")
        trainer.until(run, lambda event: step_of(event) >= 50)
        processes = server.descendants()
        if victims == "both":
            kill(processes)
        server.kill()
    gone(processes)
    server.start(f"--model-roots={bases}", "--threads=1", EACH_STEP)
    with server.client() as trainer:
        run = trainer.ended(run)
        events = list(trainer.WatchRun(name=run.name))
    assert (run.status.state, run.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2), run.status.error.message
    second = [event for event in events if event.sequence > max(e.sequence for e in events if step_of(e) < 0) - 1]
    assert all(step_of(event) > 50 for event in second if step_of(event) >= 0)
    assert run.result.model.digest == expected


def test_a_stopped_server_leaves_a_checkpoint_and_goes_within_its_grace(start, bases, store, gone, spec, expected):
    # No checkpoint is due for an hour: the one there is was written because the server was asked to stop.
    server = start("--checkpoint-seconds=3600")
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id="stopped-server")
        trainer.until(run, lambda event: step_of(event) >= 40)
        processes = server.descendants()
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
    gone(processes)
    checkpoints = [name for name in store.workspace("models", "stopped-server").names() if name.startswith("main-")]
    assert len(checkpoints) == 1
    stopped_at = int(checkpoints[0].rpartition("-")[2])
    server.start(f"--model-roots={bases}", "--threads=1")
    with server.client() as trainer:
        run = trainer.ended(run)
        events = list(trainer.WatchRun(name=run.name))
    assert (run.status.state, run.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2), run.status.error.message
    attempts = [event.sequence for event in events if event.state == common.JOB_STATE_QUEUED]
    resumed = [step_of(event) for event in events if event.sequence > attempts[-1] and step_of(event) >= 0]
    assert stopped_at >= 40
    assert min(resumed) > stopped_at
    assert run.result.model.digest == expected
    assert store.workspace("models", "stopped-server").names() == []


def test_a_worker_that_dies_again_and_again_fails_its_run(start, spec):
    server = start("--checkpoint-seconds=3600", "--max-restarts=2")
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id="dies-and-dies")
        after = 0
        for _ in range(2):
            events = trainer.WatchRun(name=run.name, after_sequence=after)
            after = next(event.sequence for event in events if step_of(event) >= 1)
            kill(runs_of(server))
        run = trainer.ended(run)
    assert (run.status.state, run.status.error.code) == (common.JOB_STATE_FAILED, 13)
    assert "killed by signal 9" in run.status.error.message


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB, which goes with the test."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_fails_the_run_with_the_reason_and_leaves_the_last_checkpoint(start, store, spec, small_disk):
    # Checkpoints are written on the small disk before they are kept.
    server = start(EACH_STEP, f"--cache-folder={small_disk}")
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id="full-disk")
        trainer.until(run, lambda event: event.progress.stage == "checkpoint")
        free = os.statvfs(small_disk)
        with (small_disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"\0" * min(1 << 16, free.f_frsize * free.f_bavail or 1 << 16))
                ballast.flush()
        run = trainer.ended(run)
    assert (run.status.state, run.status.error.code) == (common.JOB_STATE_FAILED, 8), run.status.error.message
    assert "no space left on the device" in run.status.error.message
    workspace = store.workspace("models", "full-disk")
    last = [name for name in workspace.names() if name.startswith("main-")][-1]
    assert workspace.folder(last) is not None
    assert f"the checkpoint of step {int(last.rpartition('-')[2])} is intact" in run.status.error.message


def test_a_freed_disk_lets_the_run_go_on(start, spec, expected, small_disk):
    server = start(EACH_STEP, f"--cache-folder={small_disk}")
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id="freed-disk")
        trainer.until(run, lambda event: event.progress.stage == "checkpoint")
        with (small_disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"\0" * (1 << 16))
                ballast.flush()
        assert trainer.ended(run).status.state == common.JOB_STATE_FAILED
        (small_disk / "ballast").unlink()
        run = trainer.train(spec, "freed-disk")
    assert (run.status.state, run.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2), run.status.error.message
    assert run.result.model.digest == expected


def test_a_stop_signal_to_the_worker_alone_does_not_end_its_run(start, spec, expected):
    server = start(EACH_STEP)
    with server.client() as trainer:
        run = trainer.CreateRun(run=pb.Run(spec=spec), request_id="worker-stopped")
        trainer.until(run, lambda event: step_of(event) >= 10)
        for process in runs_of(server):
            process.send_signal(signal.SIGTERM)
        run = trainer.ended(run)
    assert run.status.state == common.JOB_STATE_SUCCEEDED, run.status.error.message
    assert run.result.model.digest == expected
