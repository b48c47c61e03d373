"""Swaps on a real supervisor: under load, gated, back and forth, cancelled, killed."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from support.postgres import new_database

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

CLIENTS = 4


class Load:
    """Callers that label one example after another until they are told to stop."""

    def __init__(self, connected, target, examples):
        self._stop = threading.Event()
        self.digests = [[] for _ in range(CLIENTS)]
        self.failures = []
        self._threads = [
            threading.Thread(target=self._call, args=(connected, target, examples, digests)) for digests in self.digests
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, connected, target, examples, digests):
        with connected("supervisor", target) as client:
            number = 0
            while not self._stop.is_set():
                try:
                    response = client.Label(examples=[examples[number % len(examples)]])
                except Exception as error:
                    self.failures.append(error)
                    return
                digests.append(response.teacher.digest)
                number += 1

    def served(self):
        return sum(map(len, self.digests))


@pytest.fixture
def flags():
    """A supervisor's flags, PostgreSQL among them where a server was started for the tests."""
    url = new_database()
    return ["--follow-s=0.2", *([f"--database-url={url}"] if url else [])]


@pytest.fixture
def server(serve, flags):
    return serve("supervisor", *flags)


@pytest.fixture
def client(server):
    with server.client() as found:
        yield found


@pytest.fixture
def pair(client, weak, teachers):
    """Two registered teachers; the first is active."""
    first = client.register("first", weak.result.model)
    second = client.register("second", teachers.b.spec.model.model)
    assert client.activate(first).status.state == common.JOB_STATE_SUCCEEDED
    return first, second


def active(client):
    found = [teacher.name for teacher in client.ListTeachers().teachers if teacher.state == pb.TEACHER_STATE_ACTIVE]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    "mode", [pb.SWAP_MODE_BESIDE, pytest.param(pb.SWAP_MODE_DRAIN_FIRST, marks=pytest.mark.faults)]
)
def test_no_call_fails_and_no_caller_sees_a_teacher_come_back(client, server, pair, connected, examples, mode):
    first, second = pair
    with Load(connected, server.target, examples) as load:
        while load.served() < 20:
            time.sleep(0.01)
        swap = client.activate(second, mode=mode)
        assert swap.status.state == common.JOB_STATE_SUCCEEDED, swap.status.error.message
        before = load.served()
        while load.served() < before + 20:
            time.sleep(0.01)
    assert load.failures == []
    for digests in load.digests:
        flips = [(a, b) for a, b in itertools.pairwise(digests) if a != b]
        assert flips in ([], [(first.version.digest, second.version.digest)])
    assert {digests[-1] for digests in load.digests} == {second.version.digest}


def test_rollback_goes_back_and_forth_and_repeats_by_its_id(client, pair, refused):
    first, second = pair
    with refused("FAILED_PRECONDITION", words="no teacher was active before"):
        client.RollbackTeacher()
    client.activate(second)
    back = client.ended(client.RollbackTeacher(request_id="back"))
    assert (back.status.state, back.teacher, back.previous_teacher) == (
        common.JOB_STATE_SUCCEEDED,
        first.name,
        second.name,
    )
    assert active(client) == first.name
    # The same request later is the same rollback, not another one.
    assert client.RollbackTeacher(request_id="back") == back
    assert active(client) == first.name
    assert client.ended(client.RollbackTeacher()).teacher == second.name
    listed = client.ListActivations().activations
    assert [activation.teacher for activation in listed] == [second.name, first.name, second.name, first.name]


def test_the_way_back_stays_in_memory(client, pair):
    first, second = pair
    client.activate(second)
    assert client.GetTeacher(name=first.name).state == pb.TEACHER_STATE_LOADED


def test_a_gate_is_told_and_holds(client, pair, data, examples):
    first, second = pair
    gate = pb.ValidationGate(probe=data["test"], min_accuracy=0.99)
    failed = client.activate(second, gate=gate)
    assert (failed.status.state, failed.status.error.code) == (common.JOB_STATE_FAILED, 9)
    assert "accuracy of at least 0.99 on 100 probes" in failed.status.error.message
    assert (active(client), client.Label(examples=examples[:1]).teacher) == (first.name, first.version)

    passed = client.activate(second, gate=pb.ValidationGate(probe=data["test"], min_accuracy=0.5, min_agreement=0.5))
    assert passed.status.state == common.JOB_STATE_SUCCEEDED
    found = passed.status.progress.metrics
    truth = client.Label(examples=examples).labels
    assert set(found) == {"accuracy", "agreement"}
    assert 0.5 <= found["accuracy"] < 0.99
    assert len(truth) == len(examples)


def test_an_activation_that_waits_is_cancelled_and_changes_nothing(client, pair):
    first, second = pair
    running = [client.ActivateTeacher(name=second.name), client.ActivateTeacher(name=first.name)]
    waiting = client.ActivateTeacher(name=second.name)
    cancelled = client.CancelActivation(name=waiting.name)
    assert cancelled.status.state == common.JOB_STATE_CANCELLED
    assert [client.ended(activation).status.state for activation in running] == [common.JOB_STATE_SUCCEEDED] * 2
    assert active(client) == first.name


def test_memory_that_does_not_hold_two_asks_for_drain_first(serve, weak, teachers, examples):
    # One of these models takes 45 MiB and needs 54 to load: with one loaded, 45 of 90 are left.
    server = serve("supervisor", "--memory-mib=90", "--follow-s=0.2")
    with server.client() as client:
        first = client.register("first", weak.result.model)
        second = client.register("second", teachers.b.spec.model.model)
        assert client.activate(first).status.state == common.JOB_STATE_SUCCEEDED
        refused = client.activate(second)
        assert (refused.status.state, refused.status.error.code) == (common.JOB_STATE_FAILED, 9)
        assert "MiB are free: activate it with SWAP_MODE_DRAIN_FIRST" in refused.status.error.message
        assert client.Label(examples=examples[:1]).teacher == first.version
        assert client.activate(second, mode=pb.SWAP_MODE_DRAIN_FIRST).status.state == common.JOB_STATE_SUCCEEDED
        assert client.GetTeacher(name=first.name).state == pb.TEACHER_STATE_REGISTERED
        assert client.Label(examples=examples[:1]).teacher == second.version


def test_a_server_killed_in_mid_swap_comes_back_with_one_teacher_and_an_ended_swap(
    server, flags, client, pair, examples
):
    first, second = pair
    swap = client.ActivateTeacher(name=second.name)
    client.until(swap, lambda event: event.progress.stage == "load")
    server.kill()
    server.start(*flags)
    with server.client() as again:
        assert again.Label(examples=examples[:1]).teacher.digest in {first.version.digest, second.version.digest}
        ended = again.ended(swap)
        assert ended.status.state == common.JOB_STATE_SUCCEEDED
        assert again.Label(examples=examples[:1]).teacher == second.version
        assert again.ended(again.RollbackTeacher()).teacher == first.name


def test_unregistered_teachers_are_gone_and_the_active_one_stays(client, pair, refused):
    first, second = pair
    with refused("FAILED_PRECONDITION", words="teachers/first is active"):
        client.UnregisterTeacher(name=first.name)
    client.activate(second)
    client.UnregisterTeacher(name=first.name)
    with refused("NOT_FOUND"):
        client.GetTeacher(name=first.name)
    with refused("FAILED_PRECONDITION", words="no teacher was active before"):
        client.RollbackTeacher()
    assert active(client) == second.name
