from __future__ import annotations

import time

import pytest

from w2s.artifacts import ArtifactStore
from w2s.jobs import Progress
from w2s_trainer.worker.outbox import OutboxReader, WorkspaceOutbox


@pytest.fixture(params=["local", "remote"])
def workspace(request, tmp_path):
    root = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-outbox"
    return ArtifactStore(root).workspace("models", "run")


def steps(messages):
    return [message["progress"]["step"] for message in messages if "progress" in message]


def send(workspace, *numbers, launch="a"):
    """A process that reports some steps and is asked to stop."""
    outbox = WorkspaceOutbox(workspace, launch)
    for number in numbers:
        outbox.send(Progress("train", number))
    outbox.end({"stopped": True})


def test_messages_come_once_in_order_and_the_outcome_last(workspace):
    outbox, reader = WorkspaceOutbox(workspace, "a"), OutboxReader(workspace, "a")
    found = []
    for number in range(50):
        outbox.send(Progress("train", number, 50, {"loss": 0.5}))
        time.sleep(0.01)
        found += reader.new()
    outbox.end({"result": {"steps": 50}})
    found += reader.new()
    assert steps(found) == list(range(50))
    assert found[7]["progress"] == {"stage": "train", "step": 7, "total_steps": 50, "metrics": {"loss": 0.5}}
    assert found[50:] == [{"result": {"steps": 50}}]
    assert outbox.ended


def test_progress_comes_while_more_is_sent(workspace):
    outbox, reader = WorkspaceOutbox(workspace, "a"), OutboxReader(workspace, "a")
    deadline = time.monotonic() + 5
    while not reader.new():
        assert time.monotonic() < deadline
        outbox.send(Progress("train"))
        time.sleep(0.01)
    outbox.end({"stopped": True})


@pytest.mark.parametrize("starts", [1, 2, 5])
def test_a_process_that_is_started_again_goes_on_with_the_numbers(workspace, starts):
    for start in range(starts):
        send(workspace, 2 * start, 2 * start + 1)
    messages = OutboxReader(workspace, "a").new()
    assert steps(messages) == list(range(2 * starts))
    assert messages[2] == {"stopped": True}
    # A process that was asked to stop is not the end of its launch.
    assert not WorkspaceOutbox(workspace, "a").ended


def test_what_an_earlier_launch_said_is_not_read(workspace):
    send(workspace, 1, 2, launch="a")
    WorkspaceOutbox(workspace, "a").end({"result": {}})
    send(workspace, 3, launch="b")
    assert steps(OutboxReader(workspace, "b").new()) == [3]


def test_the_first_outcome_of_a_launch_stands(workspace):
    for code in (3, 13):
        WorkspaceOutbox(workspace, "a").end({"error": {"code": code, "message": ""}})
    assert OutboxReader(workspace, "a").new() == [{"error": {"code": 3, "message": ""}}]


def test_another_reader_goes_on_where_one_stopped(workspace):
    first = OutboxReader(workspace, "a")
    assert not first.closed
    send(workspace, 1, 2)
    assert steps(first.new()) == [1, 2]
    first.keep()
    send(workspace, 3)
    second = OutboxReader(workspace, "a")
    assert (steps(second.new()), second.closed) == ([3], False)
    second.keep(closed=True)
    assert OutboxReader(workspace, "a").closed


@pytest.mark.parametrize("content", [b"", b'[{"progress": {"sta'])
def test_a_blob_that_is_not_all_there_is_read_later(workspace, content):
    send(workspace, 1)
    whole = workspace.read("outbox-a-1")
    workspace.write("outbox-a-1", content)
    reader = OutboxReader(workspace, "a")
    assert reader.new() == []
    workspace.write("outbox-a-1", whole)
    assert steps(reader.new()) == [1]


def test_a_long_run_is_read_by_name(workspace, monkeypatch):
    for number in range(1, 300):
        workspace.write(f"outbox-a-{number}", b"[]")
    reads = []
    read = workspace.read
    monkeypatch.setattr(workspace, "read", lambda name: reads.append(name) or read(name))
    reader = OutboxReader(workspace, "a")
    reader.new()
    reads.clear()
    reader.new()
    # Where it stands, and the outcome.
    assert reads == ["outbox-a-result", "outbox-a-300"]
    reads.clear()
    send(workspace, 1)
    # Found in O(log n) reads.
    assert len(reads) <= 20
    assert steps(reader.new()) == [1]


def test_a_store_that_fails_delays_progress_only(workspace, monkeypatch):
    outbox = WorkspaceOutbox(workspace, "a")
    write, failures = workspace.write, [OSError("no space left"), OSError("no space left")]

    def failing(name, content):
        if failures:
            raise failures.pop()
        write(name, content)

    monkeypatch.setattr("w2s_trainer.worker.outbox._RETRY_S", 0.01)
    monkeypatch.setattr(workspace, "write", failing)
    outbox.send(Progress("train", 1))
    outbox.end({"result": {}})
    assert failures == []
    messages = OutboxReader(workspace, "a").new()
    assert (steps(messages), messages[-1]) == ([1], {"result": {}})


def test_a_store_that_fails_loses_no_message(workspace, monkeypatch):
    send(workspace, 1)
    send(workspace, 2)
    reader = OutboxReader(workspace, "a")
    read = workspace.read

    def failing(name):
        if name.endswith("-2"):
            raise ConnectionError("the store is away")
        return read(name)

    monkeypatch.setattr(workspace, "read", failing)
    assert steps(reader.new()) == [1]
    assert reader.new() == []
    monkeypatch.undo()
    assert steps(reader.new()) == [2]


def test_a_position_that_cannot_be_kept_is_kept_later(workspace, monkeypatch):
    send(workspace, 1)
    reader = OutboxReader(workspace, "a")
    reader.new()
    monkeypatch.setattr(workspace, "write", lambda name, content: (_ for _ in ()).throw(OSError("no space left")))
    reader.keep()
    monkeypatch.undo()
    assert steps(OutboxReader(workspace, "a").new()) == [1]
    reader.keep()
    assert OutboxReader(workspace, "a").new() == []
