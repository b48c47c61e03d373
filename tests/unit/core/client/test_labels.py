from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from w2s.client import labels
from w2s.client.labels import label_examples
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition, Unavailable
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

EXAMPLES = [(f"e{i}", f"text {i}", "pair") for i in range(5)]
VERSION = pb.TeacherVersion(teacher="teachers/weak", revision="run-1", digest="sha256:" + "1" * 64)


class Supervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Labels the example `e<i>` with [i / 8, 1 - i / 8]."""

    def __init__(self) -> None:
        self.requests: list[supervisor_pb2.LabelRequest] = []
        self.code: grpc.StatusCode | None = None

    def Label(self, request, context):  # noqa: N802
        self.requests.append(request)
        if self.code:
            context.abort(self.code, "no")
        shares = [int(example.id[1:]) / 8 for example in request.examples]
        found = [supervisor_pb2.SoftLabel(probabilities=[share, 1 - share]) for share in shares]
        return supervisor_pb2.LabelResponse(labels=found, teacher=VERSION)


@pytest.fixture
def supervisor(monkeypatch):
    monkeypatch.setattr(labels, "_BATCH", 2)
    monkeypatch.setattr(labels, "_PATIENCE_S", 0.0)
    servicer, server = Supervisor(), grpc.server(ThreadPoolExecutor(1))
    supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
    servicer.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(None).wait()


def test_batches_come_back_in_order_with_their_teacher(supervisor):
    ticks = []
    found, version = label_examples(supervisor.target, EXAMPLES, tick=lambda done, total: ticks.append((done, total)))
    np.testing.assert_array_equal(found, [[i / 8, 1 - i / 8] for i in range(5)])
    assert version == VERSION
    assert ticks == [(2, 5), (4, 5), (5, 5)]


def test_the_teacher_that_answers_first_is_pinned_for_the_rest(supervisor):
    label_examples(supervisor.target, EXAMPLES)
    asked = [(request.teacher, request.required_digest) for request in supervisor.requests]
    assert asked == [("", ""), *[(VERSION.teacher, VERSION.digest)] * 2]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.INVALID_ARGUMENT, FailedPrecondition),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Unavailable),
    ],
)
def test_a_refusal_is_translated(supervisor, code, error):
    supervisor.code = code
    with pytest.raises(error, match=f"the supervisor answered {code.name}: no"):
        label_examples(supervisor.target, EXAMPLES)


def test_a_supervisor_that_is_away_for_a_moment_is_asked_again(supervisor):
    supervisor.code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(Unavailable):
        label_examples(supervisor.target, EXAMPLES[:1])
    assert len(supervisor.requests) > 1


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_a_supervisor_that_is_back_within_the_patience_is_not_given_up(supervisor, monkeypatch, code):
    monkeypatch.setattr(labels, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(labels, "_PAUSE_S", 0.01)

    class Busy(list):
        def append(self, request):
            super().append(request)
            # More often than the channel itself asks again.
            supervisor.code = grpc.StatusCode[code] if len(self) in range(2, 8) else None

    supervisor.requests = Busy()
    found, _ = label_examples(supervisor.target, EXAMPLES)
    np.testing.assert_array_equal(found[:, 0], [i / 8 for i in range(5)])
    assert len(supervisor.requests) == 3 + 6
