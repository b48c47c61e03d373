"""The three services with two teachers and a watched student, and a Prometheus that scrapes them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers.tiny_models import byte_tokenizer, headed
from support import prometheus as support

from w2s.artifacts import ArtifactStore
from w2s.client import connect, follow
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2_grpc, monitor_pb2, monitor_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s_cli.local import LocalServices

CLASSES = ["safe", "unsafe"]
# How far apart the two classes' logits lie: the weak teacher is often unsure, the strong one seldom.
SPREADS = {"weak": 2.0, "strong": 8.0}
SEEN, BLIND = 60, 40
_TEXTS = [f"{n * 7919 % 10_007:05} is what was asked" for n in range(512)]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with the two teachers' models."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = byte_tokenizer()
    batch = tokenizer(_TEXTS, padding=True, return_tensors="pt")
    for seed, (name, spread) in enumerate(SPREADS.items()):
        model = headed("bert", labels=2, seed=seed, id2label=dict(enumerate(CLASSES)))
        with torch.no_grad():
            margins = model(**batch).logits @ torch.tensor([-1.0, 1.0])
            scale = spread / margins.std()
            model.classifier.weight *= scale
            model.classifier.bias.copy_(torch.tensor([0.0, -float(margins.mean() * scale)]))
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="session")
def services(tmp_path_factory, models):
    variables = {"W2S_MODEL_ROOTS": json.dumps([str(models)]), "W2S_THREADS": "1"}
    with LocalServices(tmp_path_factory.mktemp("services"), variables=variables) as running:
        yield running


@pytest.fixture(scope="session")
def prometheus(services, tmp_path_factory):
    targets = {f"w2s-{name}": running.metrics for name, running in services.services.items()}
    with support.running(tmp_path_factory.mktemp("prometheus"), targets) as found:
        yield found


@pytest.fixture(scope="session")
def supervisor(services):
    with connect(services.endpoints.supervisor) as channel:
        yield supervisor_pb2_grpc.SupervisorServiceStub(channel)


@pytest.fixture(scope="session")
def evaluator(services):
    with connect(services.endpoints.evaluator) as channel:
        yield evaluator_pb2_grpc.EvaluatorServiceStub(channel)


@pytest.fixture(scope="session")
def store(services):
    return ArtifactStore(services.artifact_root)


@dataclass(frozen=True)
class Question:
    """A text whose true class the strong teacher knows; `blind` where the weak one is not sure of it."""

    text: str
    truth: int
    blind: bool


@pytest.fixture(scope="session")
def questions(supervisor, models):
    """Texts by what both teachers say of them, seen ones first; the weak teacher is the active one."""
    said = {}
    for name in SPREADS:
        source = common.ModelRef(uri=f"file://{models}/{name}")
        backend = supervisor_pb2.ModelBackend(model=source, classifier=supervisor_pb2.ClassifierReading())
        spec = supervisor_pb2.TeacherSpec(model=backend)
        supervisor.RegisterTeacher(supervisor_pb2.RegisterTeacherRequest(teacher_id=name, spec=spec), timeout=60)
        rows = [common.Example(id=text, text=text) for text in _TEXTS]
        calls = [supervisor_pb2.LabelRequest(examples=rows[n : n + 256], teacher=f"teachers/{name}") for n in (0, 256)]
        labels = [label for call in calls for label in supervisor.Label(call, timeout=60).labels]
        said[name] = np.array([label.probabilities for label in labels])
    swap = supervisor.ActivateTeacher(supervisor_pb2.ActivateTeacherRequest(name="teachers/weak"), timeout=60)
    follow(supervisor.WatchActivation, supervisor_pb2.WatchActivationRequest(name=swap.name))

    truths = said["strong"].argmax(axis=1)
    known = said["strong"].max(axis=1) > 0.8
    seen = known & (said["weak"][np.arange(len(truths)), truths] > 0.8)
    blind = known & (said["weak"].max(axis=1) < 0.7)
    places = [*np.flatnonzero(seen)[:SEEN], *np.flatnonzero(blind)[:BLIND]]
    found = [Question(_TEXTS[place], int(truths[place]), bool(blind[place])) for place in places]
    assert sum(question.blind for question in found) == BLIND
    assert len(found) == SEEN + BLIND
    return found


class Student:
    """A student that answers all questions, sure of each, and whose truths become known."""

    def __init__(self, monitor, questions):
        self.name = "students/watched"
        self._monitor = monitor
        self._questions = questions

    def answer(self, round_, is_wrong):
        """One answer to each question, wrong where `is_wrong(place, question)` says so."""
        observations, outcomes = [], []
        for place, question in enumerate(self._questions):
            id_ = f"{round_}-{place}"
            right = 0.05 if is_wrong(place, question) else 0.95
            probabilities = [right, 1 - right] if question.truth == 0 else [1 - right, right]
            example = common.Example(id=id_, text=question.text)
            observations.append(monitor_pb2.Observation(example=example, probabilities=probabilities))
            outcomes.append(monitor_pb2.Outcome(id=id_, label=CLASSES[question.truth]))
        call = monitor_pb2.ObserveRequest(student=self.name, observations=observations)
        (said,) = self._monitor.Observe(iter([call]), timeout=60)
        assert (said.accepted, said.sampled) == (len(observations), len(observations))
        known = monitor_pb2.ReportOutcomesRequest(student=self.name, outcomes=outcomes)
        assert self._monitor.ReportOutcomes(known, timeout=60).matched == len(outcomes)

    def report(self):
        """What the evaluator says of the student beside its one teacher."""
        request = monitor_pb2.GetMonitorReportRequest(name=self.name)
        (figures,) = self._monitor.GetMonitorReport(request, timeout=60).teachers
        return figures


@pytest.fixture(scope="session")
def student(services, questions):
    """A student beside the active teacher, watched over one round of questions."""
    spec = monitor_pb2.StudentSpec(
        dimension="harmlessness",
        label_names=CLASSES,
        ceiling="teachers/strong",
        labels_per_second=1000,
        window=monitor_pb2.Window(observations=SEEN + BLIND),
    )
    with connect(services.endpoints.evaluator) as channel:
        monitor = monitor_pb2_grpc.MonitorServiceStub(channel)
        request = monitor_pb2.RegisterStudentRequest(student_id="watched", spec=spec)
        monitor.RegisterStudent(request, timeout=60)
        yield Student(monitor, questions)
