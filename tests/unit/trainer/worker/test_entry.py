"""`python -m w2s_trainer.worker`, as torchrun starts it here and in pods, with stand-in work."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest
from support.stand_in_run import STEPS

from w2s_trainer.worker.outbox import OutboxReader


def until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def reader(workspace):
    return OutboxReader(workspace, "a")


def test_it_does_what_is_ordered_and_says_so(start, workspace, order, reader):
    order("facts").give(workspace)
    variables = {"RANK": "0", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3", "W2S_THREADS": "6"}
    assert start(**variables).wait(60) == 0
    (message,) = reader.new()
    assert {name: message["result"][name] for name in ("rank", "world", "threads")} == {
        "rank": 0,
        "world": 6,
        "threads": 2,
    }


def test_an_error_ends_it_with_1_and_a_pod_that_comes_again_does_nothing(start, workspace, order, reader):
    order("refuse").give(workspace)
    assert start().wait(60) == 1
    assert reader.new() == [{"error": {"code": 3, "message": "model.layers: at most 6"}}]
    order("facts").give(workspace)
    again = start()
    assert again.wait(60) == 1
    assert "this launch of the run is over" in again.stderr.read()
    assert OutboxReader(workspace, "a").new() == [{"error": {"code": 3, "message": "model.layers: at most 6"}}]


def test_sigterm_ends_it_after_a_checkpoint_and_it_goes_on_later(start, workspace, order, reader):
    order("steps").give(workspace)
    process = start()
    until(lambda: int(workspace.read("step") or 0) >= 2)
    # Twice, as an impatient cluster does.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert reader.new()[-1] == {"stopped": True}
    reached = int(workspace.read("step"))
    assert reached < STEPS
    assert start().wait(60) == 0
    assert reader.new()[-1]["result"]["begun"] == reached


@pytest.mark.parametrize("over", ["a later launch", "cleared away"])
def test_it_ends_once_its_launch_is_over(start, workspace, order, over):
    order("hang").give(workspace)
    process = start()
    until(lambda: OutboxReader(workspace, "a").new())
    order("hang", "b").give(workspace) if over == "a later launch" else workspace.clear()
    assert process.wait(30) != 0


@pytest.mark.parametrize("launch", [None, "b"], ids=["no order", "a later one"])
def test_a_launch_that_is_over_does_nothing(start, workspace, order, reader, launch):
    if launch:
        order("facts", launch).give(workspace)
    process = start()
    assert process.wait(60) == 1
    assert "this launch of the run is over" in process.stderr.read()
    assert reader.new() == []


def test_it_ends_with_its_server(start, workspace, order, reader):
    code = "import time; from w2s.jobs.owner import new_owner; print(new_owner(), flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        order("hang").give(workspace)
        process = start(W2S_OWNER=server.stdout.readline().strip())
        (message,) = until(reader.new)
        server.kill()
    assert process.wait(30) != 0
    # And what it has started.
    until(lambda: not psutil.pid_exists(int(message["progress"]["metrics"]["child"])))
