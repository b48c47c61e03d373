"""A monitor's parts on a database, and a supervisor that follows rules."""

from __future__ import annotations

import contextlib

import grpc.aio
import pytest
from google.rpc import status_pb2
from prometheus_client import CollectorRegistry
from support.postgres import new_database

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.database import Database
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_evaluator.dropped import dropped_series
from w2s_evaluator.migrations import EVALUATOR
from w2s_evaluator.monitor.intake import Intake
from w2s_evaluator.monitor.metrics import MonitorMetrics
from w2s_evaluator.monitor.observation import Observation
from w2s_evaluator.monitor.spec import StudentSpec
from w2s_evaluator.monitor.students import Students

DIGEST = f"sha256:{0:064x}"


def spec_of(**fields):
    return StudentSpec.model_validate({"dimension": "topic", "label_names": ["no", "yes"], **fields})


def observation(n, yes=0.9, **fields):
    return Observation(**{"id": f"o-{n}", "text": "a", "text_pair": "", "probabilities": (1 - yes, yes), **fields})


@pytest.fixture
def database(tmp_path):
    database = Database(new_database() or f"sqlite:///{tmp_path}/state.db", EVALUATOR)
    yield database
    database.close()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return MonitorMetrics(registry, dropped_series(registry))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def load(database, store, metrics):
    """The students as a process that has just begun has them."""

    async def students(most=3):
        found = Students(database, store, most, metrics)
        await found.load()
        return found

    return students


@pytest.fixture
async def students(load):
    return await load()


@pytest.fixture
async def intake(database, students):
    intake = Intake(database, students)
    intake.start()
    yield intake
    await intake.stop()


class Supervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Says what its texts say: `yes` and `no` of two classes; refuses, holds back or fails what they tell it to."""

    def __init__(self):
        self.calls = []
        self.names = {"teachers/active": ["no", "yes"], "teachers/three": ["a", "b", "c"]}
        self.room = 256

    async def Label(self, request, context):  # noqa: N802
        texts = [example.text for example in request.examples]
        self.calls.append((request.teacher, len(texts)))
        name = request.teacher or "teachers/active"
        if name not in self.names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such teacher")
        if len(texts) > self.room:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
        if "malformed" in texts:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a text is malformed")
        labels = [self._label(example, len(self.names[name])) for example in request.examples]
        return pb.LabelResponse(labels=labels, teacher=common.TeacherVersion(teacher=name, digest=DIGEST))

    def _label(self, example, classes):
        codes = {"unlabelled": 3, "later": 14}
        if example.text in codes:
            return pb.SoftLabel(id=example.id, error=status_pb2.Status(code=codes[example.text], message="not this"))
        yes = 0.8 if example.text == "yes" else 0.2
        return pb.SoftLabel(id=example.id, probabilities=[1 - yes, yes, *[0] * (classes - 2)])

    async def GetTeacher(self, request, context):  # noqa: N802
        return pb.Teacher(
            name=request.name, label_names=self.names[request.name], version=common.TeacherVersion(digest=DIGEST)
        )


@pytest.fixture
def serving():
    """Serves a servicer for a block, and gives its address."""

    @contextlib.asynccontextmanager
    async def serve(servicer):
        server = grpc.aio.server()
        supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)

    return serve
