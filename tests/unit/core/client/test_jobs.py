from __future__ import annotations

import itertools

import grpc
import pytest

from w2s.client import follow, jobs
from w2s.client.jobs import JobFailed
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import Cancelled, Unavailable
from w2s.trainer.v1.trainer_pb2 import WatchRunRequest

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = range(1, 6)


class Failure(grpc.RpcError, grpc.Call):
    """What a stub raises for a call that ended with a status."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "as it is"

    initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = None


LOST = Failure(grpc.StatusCode.UNAVAILABLE)
TIMED_OUT = Failure(grpc.StatusCode.DEADLINE_EXCEEDED)


class Server:
    """A log of job states, and how many events each call gives before it breaks off with an error."""

    def __init__(self, states, breaks=()) -> None:
        self.events = [pb.JobEvent(sequence=i, state=state) for i, state in enumerate(states, 1)]
        self.events[-1].error.message = "its own words"
        self.breaks = iter(breaks)
        self.asked: list[int] = []

    def watch(self, request, timeout):
        self.asked.append(request.after_sequence)
        count, error = next(self.breaks, (None, None))
        yield from self.events[request.after_sequence :][:count]
        if error:
            raise error


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only by sleeping; holds how long was slept each time."""
    slept: list[float] = []
    monkeypatch.setattr(jobs.time, "sleep", slept.append)
    monkeypatch.setattr(jobs.time, "monotonic", lambda: 1000 + sum(slept))
    return slept


def test_every_event_is_told_once_until_the_job_has_succeeded(clock):
    server, told = Server([QUEUED, RUNNING, RUNNING, SUCCEEDED]), []
    follow(server.watch, WatchRunRequest(name="runs/one"), told.append)
    assert told == server.events
    assert clock == []


@pytest.mark.parametrize(("state", "error"), [(FAILED, JobFailed), (CANCELLED, Cancelled)])
def test_another_end_is_an_error(state, error):
    with pytest.raises(error, match="its own words" if state == FAILED else "cancelled"):
        follow(Server([QUEUED, RUNNING, state]).watch, WatchRunRequest())


def test_a_failure_that_a_new_attempt_followed_is_not_the_end():
    follow(Server([QUEUED, RUNNING, FAILED, QUEUED, RUNNING, SUCCEEDED]).watch, WatchRunRequest())


@pytest.mark.parametrize("error", [LOST, TIMED_OUT], ids=["lost", "timed out"])
def test_a_broken_watch_goes_on_behind_the_last_event(clock, error):
    server, told = Server([QUEUED, RUNNING, RUNNING, SUCCEEDED], [(1, error), (0, error), (2, error)]), []
    follow(server.watch, WatchRunRequest(), told.append)
    assert told == server.events
    assert server.asked == [0, 1, 1, 3]
    # The delay doubles while nothing comes and is short again after an event.
    assert clock == [0.2, 0.4, 0.2]


@pytest.mark.parametrize(("state", "error"), [(SUCCEEDED, None), (FAILED, JobFailed)])
def test_a_watch_that_breaks_behind_the_last_event_still_knows_the_end(clock, state, error):
    server = Server([QUEUED, state], [(2, LOST)])
    if error is None:
        follow(server.watch, WatchRunRequest())
    else:
        with pytest.raises(error):
            follow(server.watch, WatchRunRequest())
    assert server.asked == [0, 2]


def test_patience_ends_when_no_server_comes_back(clock):
    server = Server([QUEUED, SUCCEEDED], itertools.repeat((0, LOST)))
    with pytest.raises(Unavailable, match="no server for 60 s: as it is"):
        follow(server.watch, WatchRunRequest(), patience_s=60)
    assert 60 < sum(clock) <= 70
    assert max(clock) == 10


def test_patience_begins_anew_with_each_event(clock):
    breaks = [(0, LOST)] * 8 + [(1, LOST)] + [(0, LOST)] * 8
    follow(Server([QUEUED, SUCCEEDED], breaks).watch, WatchRunRequest(), patience_s=50)
    assert sum(clock) > 50


def test_a_wrong_call_is_not_tried_again(clock):
    server = Server([SUCCEEDED], [(0, Failure(grpc.StatusCode.NOT_FOUND))])
    with pytest.raises(Failure):
        follow(server.watch, WatchRunRequest())
    assert server.asked == [0]
