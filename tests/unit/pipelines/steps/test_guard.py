"""A method's failure is a result; any other failure ends the step with one line."""

from __future__ import annotations

import grpc
import pytest

from pipelines.steps.guard import attempt, step
from w2s.client.jobs import JobFailed
from w2s.errors import InvalidArgument, Unavailable, W2SError


class Refused(grpc.RpcError, grpc.Call):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "no"


Refused.__abstractmethods__ = frozenset()
METHOD = {"item": "naive:0", "may_fail": True}


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (JobFailed("diverged at step 3"), "diverged at step 3"),
        (Refused(grpc.StatusCode.INVALID_ARGUMENT), "INVALID_ARGUMENT: no"),
        (Refused(grpc.StatusCode.FAILED_PRECONDITION), "FAILED_PRECONDITION: no"),
    ],
)
def test_a_method_that_fails_says_why(error, reason):
    assert attempt(METHOD, raising(error)) == {"status": "failed", "reason": reason}


@pytest.mark.parametrize("error", [Unavailable("gone"), Refused(grpc.StatusCode.UNAVAILABLE)])
def test_a_service_that_is_gone_is_no_result_of_a_method(error):
    with pytest.raises((W2SError, grpc.RpcError)):
        attempt(METHOD, raising(error))


def test_a_shared_step_may_not_fail():
    with pytest.raises(JobFailed):
        attempt({"item": "weak:0", "may_fail": False}, raising(JobFailed("diverged")))


def test_work_that_is_done_says_so():
    assert attempt(METHOD, lambda: {"run": "runs/a"}) == {"status": "succeeded", "run": "runs/a"}


def test_a_failed_step_says_why_in_one_line_and_ends(capsys):
    @step
    def plan():
        raise InvalidArgument("data_task", "'nope' is unknown")

    with pytest.raises(SystemExit) as end:
        plan()
    assert end.value.code == 1
    assert capsys.readouterr().out == "ERROR: plan: data_task: 'nope' is unknown\n"
