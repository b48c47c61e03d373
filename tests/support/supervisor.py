"""A supervisor whose teachers say what a test can work out."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc

ABILITIES = {"label": pb.ABILITY_LABEL, "compare": pb.ABILITY_COMPARE, "generate": pb.ABILITY_GENERATE}


class StandInSupervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Knows a teacher for each ability, under its name, and `teachers/ensemble`, which has no scores.

    It says yes with 3/4, takes the length of an answer for its score, and continues a prompt
    with the number of the sample and the seed.

    Attributes:
        requests: All that was asked.
        busy: Calls that are refused yet, as if it had too much to do.
        fail_at: The number of the call, from 1, that fails; 0 for none.
        hold_at: The number of the call, from 1, that is answered until nobody listens; 0 for none.
    """

    def __init__(self) -> None:
        self.requests: list = []
        self.busy = self.fail_at = self.hold_at = 0
        self.target = ""

    def version(self, name: str) -> common.TeacherVersion:
        """The version of a teacher."""
        return common.TeacherVersion(teacher=name, revision="run-1", digest="sha256:" + "1" * 64)

    def GetTeacher(self, request, context):  # noqa: N802
        id_ = request.name.removeprefix("teachers/")
        if id_ not in (*ABILITIES, "ensemble"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}")
        abilities = [ABILITIES.get(id_, pb.ABILITY_COMPARE)]
        names = ["no", "yes"] if id_ == "label" else []
        return pb.Teacher(name=request.name, version=self.version(request.name), abilities=abilities, label_names=names)

    def Label(self, request, context):  # noqa: N802
        self._take(request, context)
        labels = [pb.SoftLabel(id=example.id, probabilities=[0.25, 0.75]) for example in request.examples]
        return pb.LabelResponse(labels=labels, teacher=self.version(request.teacher))

    def Compare(self, request, context):  # noqa: N802
        self._take(request, context)
        preferences = [self._preference(request.teacher, pair) for pair in request.pairs]
        return pb.CompareResponse(preferences=preferences, teacher=self.version(request.teacher))

    def Generate(self, request, context):  # noqa: N802
        self._take(request, context)
        while len(self.requests) == self.hold_at and context.is_active():
            yield pb.GenerateResponse(teacher=self.version(request.teacher))
            time.sleep(0.01)
        for part in ("sample ", f"of {request.seed}"):
            for prompt, sample in reversed(
                list(itertools.product(range(len(request.prompts)), range(request.samples)))
            ):
                text = f"{sample} {part}" if part == "sample " else part
                by = self.version(request.teacher)
                yield pb.GenerateResponse(prompt=prompt, sample=sample, text=text, teacher=by)

    def _take(self, request, context) -> None:
        self.requests.append(request)
        if self.busy:
            self.busy -= 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much to do")
        if len(self.requests) == self.fail_at:
            context.abort(grpc.StatusCode.INTERNAL, "out of order")
        if request.required_digest != self.version("").digest:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "is another teacher")

    def _preference(self, teacher: str, pair) -> pb.Preference:
        if "unreadable" in pair.completion_a:
            found = pb.Preference(id=pair.id)
            found.error.message = "too long"
            return found
        if teacher == "teachers/ensemble":
            return pb.Preference(id=pair.id, probability_a=1.0 if "better" in pair.completion_a else 0.25)
        scores = len(pair.completion_a), len(pair.completion_b)
        return pb.Preference(id=pair.id, probability_a=0.5, score_a=scores[0], score_b=scores[1])


@contextmanager
def stand_in_supervisor():
    """Serves one, for a block."""
    servicer, server = StandInSupervisor(), grpc.server(ThreadPoolExecutor(2))
    supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
    servicer.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield servicer
    finally:
        server.stop(None).wait()
