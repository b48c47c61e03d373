"""Services killed while every one of their methods is being called: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import threading
import time
from collections import defaultdict
from functools import partial

import grpc
import pytest
from helpers.fuzz import Reflected
from helpers.run_inputs import Inputs
from helpers.stored_models import store_classifier
from support.faults import ANY, CLASSES, examples, examples_dataset, model_teacher

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2, monitor_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2
from w2s_supervisor.oip.sdk import pb as oip
from w2s_supervisor.oip.sdk import pb_grpc as oip_grpc

from .conftest import CLIENTS, Client, Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
ROUNDS = int(os.environ.get("W2S_FAULT_ROUNDS", "3"))
SUCCEEDED, CANCELLED = common.JOB_STATE_SUCCEEDED, common.JOB_STATE_CANCELLED
# What a caller may be told besides an answer: the server is gone, busy, or the thing is not, or is no more.
TOLD = {"UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "NOT_FOUND"}
STUBS = {**CLIENTS, "grpcinference": (oip_grpc.GRPCInferenceServiceStub, oip)}


class Callers:
    """Threads that call the methods of some services, one each, until the server is killed under them.

    Attributes:
        calls: What calls each method, by its service and name: `call(client, number)`.
        asked: How often each method was called.
        acknowledged: What each method's numbers were answered with.
        wrong: What no caller should be told.
    """

    def __init__(self, calls):
        self.calls = calls
        self._numbers = {method: itertools.count() for _, method in calls}
        self.asked = defaultdict(int)
        self.acknowledged = defaultdict(dict)
        self.wrong = []

    def until_killed(self, server, after_s):
        """Calls all methods for so long, kills the server, and waits for the callers to notice."""
        over = threading.Event()
        threads = [threading.Thread(target=self._call, args=(server.target, key, over)) for key in self.calls]
        for thread in threads:
            thread.start()
        time.sleep(after_s)
        server.kill()
        over.set()
        for thread in threads:
            thread.join()

    def _call(self, target, key, over):
        service, method = key
        stub, messages = STUBS[service]
        with grpc.insecure_channel(target) as channel:
            client = Client(stub(channel), messages)
            while not over.is_set():
                number = next(self._numbers[method])
                self.asked[method] += 1
                try:
                    self.acknowledged[method][number] = self.calls[key](client, number)
                except grpc.RpcError as error:
                    if error.code().name not in TOLD:
                        self.wrong.append((method, error.code().name, error.details()))
                except (ConnectionError, http.client.HTTPException):
                    # The server is gone, to those who post.
                    continue
                except Exception as error:
                    self.wrong.append((method, repr(error)))
                time.sleep(0.02)


def methods(server):
    """Every method that a server's reflection names, by its service."""
    with grpc.insecure_channel(server.target) as channel:
        found = Reflected(channel).methods
    return {(m.containing_service.name.removesuffix("Service").lower(), m.name) for m in found}


def killed_and_checked(server, flags, calls, check, seed):
    """Rounds of calls, a kill at a random moment, a start, and a check of all that was acknowledged so far."""
    assert methods(server) <= set(calls)
    callers, draw = Callers(calls), random.Random(seed)
    for _ in range(ROUNDS):
        callers.until_killed(server, draw.uniform(0.2, 2.5))
        server.start("--reflection", *flags)
        check(callers)
    assert callers.wrong == []
    # No method was left out, nor only ever refused.
    assert [method for _, method in calls if not callers.acknowledged[method]] == []
    for method in (method for _, method in calls if method.startswith("Cancel")):
        assert CANCELLED in {job.status.state for job in callers.acknowledged[method].values()}, method


def cancelled_at_once(create, cancel):
    """A call that makes a job of its own, `x-NUMBER`, and cancels it: queued, or under way for up to 0.2 s."""

    def call(client, number):
        job = create(client, f"x-{number}")
        time.sleep(number % 5 * 0.05)
        return getattr(client, cancel)(name=job.name)

    return call


def jobs_of(listed, field):
    """All jobs that a list method tells of, by the last part of their names."""
    found, token = [], ""
    while True:
        page = listed(page_size=200, page_token=token)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            ids = [job.name.rpartition("/")[2] for job in found]
            assert len(ids) == len(set(ids))
            return dict(zip(ids, found, strict=True))


def settled(client, jobs, callers, **prefixes):
    """Each job, ended; each is one that a method asked for, with its prefix, and one a request.

    Those that a caller was told had ended, as cancelled ones have, are as they were then, and did not go on.
    """
    numbers = {prefix: range(callers.asked[method]) for prefix, method in prefixes.items()}
    assert set(jobs) <= {f"{prefix}-{number}" for prefix, found in numbers.items() for number in found}
    for number, told in callers.acknowledged[prefixes["x"]].items():
        assert told.status.state in (SUCCEEDED, CANCELLED)
        assert jobs[f"x-{number}"].status == told.status
    ended = {id_: client.ended(job) for id_, job in jobs.items()}
    states = {job.status.state for job in ended.values()}
    assert states <= {SUCCEEDED, CANCELLED}, [job.status for job in ended.values()]
    return ended


@pytest.fixture
def start(tmp_path):
    """Starts a service on a store of the test's own."""
    servers = []

    def make(name, *flags):
        folder = tmp_path / name
        folder.mkdir()
        servers.append(Server(name, folder, tmp_path / "artifacts").start("--reflection", *flags))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


def first(events):
    """The first of what a stream says."""
    found = next(iter(events), None)
    events.cancel()
    return found


def test_a_supervisor_killed_in_any_call_keeps_what_it_said(start, store, model_root):
    flags = ["--no-allow-hub", "--threads=1", "--chunk-rows=100", f"--model-roots={model_root}"]
    server, dataset = start("supervisor", *flags), examples_dataset(store, "rows", 300, CLASSES)
    spec, rows = model_teacher(model_root, "topics"), examples(2)
    pair = supervisor_pb2.CompletionPair(id="p", prompt="say", completion_a=" yes", completion_b=" no")
    with server.client() as client:
        for id_, teacher in {
            "topics": spec,
            "topics-too": model_teacher(model_root, "topics-too"),
            "oip": model_teacher(model_root, "topics-three"),
            "lm": model_teacher(model_root, "lm", language_model=supervisor_pb2.LanguageModelReading()),
        }.items():
            client.RegisterTeacher(teacher_id=id_, spec=teacher)
        for id_ in ("topics-too", "topics"):
            assert client.activate(client.GetTeacher(name=f"teachers/{id_}"), gate=ANY).status.state == SUCCEEDED
        whole = client.ended(client.LabelDataset(dataset=dataset, teacher="teachers/topics", request_id="l-0"))
        before = jobs_of(client.ListActivations, "activations")
        swap = next(iter(before.values())).name

    def unregister(client, number):
        client.RegisterTeacher(teacher_id=f"gone-{number}", spec=spec)
        client.UnregisterTeacher(name=f"teachers/gone-{number}")

    def activate(client, id_):
        return client.ActivateTeacher(name=f"teachers/topics{('', '-too')[int(id_[2:]) % 2]}", gate=ANY, request_id=id_)

    def label_dataset(client, id_):
        return client.LabelDataset(dataset=dataset, teacher="teachers/topics", request_id=id_)

    label, compare = {"examples": rows, "teacher": "teachers/topics"}, {"pairs": [pair], "teacher": "teachers/lm"}
    completion = supervisor_pb2.Completion(id="c", prompt="say", completion=" yes")
    calls = {
        "RegisterTeacher": lambda client, number: client.RegisterTeacher(teacher_id=f"t-{number}", spec=spec),
        "GetTeacher": lambda client, number: client.GetTeacher(name="teachers/topics"),
        "ListTeachers": lambda client, number: client.ListTeachers(),
        "UnregisterTeacher": unregister,
        "ActivateTeacher": lambda client, number: activate(client, f"a-{number}"),
        "RollbackTeacher": lambda client, number: client.RollbackTeacher(request_id=f"r-{number}"),
        "GetActivation": lambda client, number: client.GetActivation(name=swap),
        "ListActivations": lambda client, number: client.ListActivations(),
        "WatchActivation": lambda client, number: first(client.WatchActivation(name=swap)),
        "CancelActivation": cancelled_at_once(activate, "CancelActivation"),
        "Label": lambda client, number: client.Label(**label),
        "LabelStream": lambda client, number: list(
            client.stub.LabelStream(iter([supervisor_pb2.LabelRequest(**label)]), timeout=60)
        ),
        "Score": lambda client, number: client.Score(completions=[completion], teacher="teachers/lm"),
        "Compare": lambda client, number: client.Compare(**compare),
        "Generate": lambda client, number: list(
            client.Generate(prompts=["say"], teacher="teachers/lm", max_new_tokens=4)
        ),
        "LabelDataset": lambda client, number: label_dataset(client, f"l-{number}"),
        "GetLabelingJob": lambda client, number: client.GetLabelingJob(name=whole.name),
        "ListLabelingJobs": lambda client, number: client.ListLabelingJobs(),
        "WatchLabelingJob": lambda client, number: first(client.WatchLabelingJob(name=whole.name)),
        "CancelLabelingJob": cancelled_at_once(label_dataset, "CancelLabelingJob"),
    }
    calls = {**{("supervisor", method): call for method, call in calls.items()}, **inference_calls()}

    def check(callers):
        with server.client() as client:
            names = {f"teachers/t-{number}" for number in callers.acknowledged["RegisterTeacher"]}
            gone = {f"teachers/gone-{number}" for number in callers.acknowledged["UnregisterTeacher"]}
            there = {one.name for one in all_teachers(client)}
            assert (names - there, gone & there) == (set(), set())
            jobs = jobs_of(client.ListLabelingJobs, "labeling_jobs")
            assert {f"l-{number}" for number in callers.acknowledged["LabelDataset"]} <= set(jobs)
            ended = settled(client, jobs, callers, l="LabelDataset", x="CancelLabelingJob")
            digests = {job.labels.digest for job in ended.values() if job.status.state == SUCCEEDED}
            assert digests == {whole.labels.digest}
            swaps = jobs_of(client.ListActivations, "activations")
            swaps = {id_: swaps[id_] for id_ in swaps.keys() - before}
            for kind, method in (("a", "ActivateTeacher"), ("r", "RollbackTeacher")):
                assert {f"{kind}-{number}" for number in callers.acknowledged[method]} <= set(swaps)
            settled(client, swaps, callers, a="ActivateTeacher", r="RollbackTeacher", x="CancelActivation")
            active = supervisor_pb2.TEACHER_STATE_ACTIVE
            assert [one.state for one in all_teachers(client)].count(active) == 1

    killed_and_checked(server, flags, calls, check, "supervisor")


def all_teachers(client):
    found, token = [], ""
    while True:
        page = client.ListTeachers(page_size=200, page_token=token)
        found += page.teachers
        token = page.next_page_token
        if not token:
            return found


def inference_calls():
    """The methods of the Open Inference Protocol, asked of `teachers/topics` and `teachers/oip`."""
    contents = oip.InferTensorContents(bytes_contents=[one.text.encode() for one in examples(2)])
    text = oip.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[2], contents=contents)

    def unload(client, number):
        client.RepositoryModelLoad(model_name="oip")
        return client.RepositoryModelUnload(model_name="oip")

    calls = {
        "ServerLive": lambda client, number: client.ServerLive(),
        "ServerReady": lambda client, number: client.ServerReady(),
        "ServerMetadata": lambda client, number: client.ServerMetadata(),
        "ModelReady": lambda client, number: client.ModelReady(name="topics"),
        "ModelMetadata": lambda client, number: client.ModelMetadata(name="topics"),
        "ModelInfer": lambda client, number: client.ModelInfer(model_name="topics", inputs=[text]),
        "RepositoryModelLoad": lambda client, number: client.RepositoryModelLoad(model_name="oip"),
        "RepositoryModelUnload": unload,
    }
    return {("grpcinference", method): call for method, call in calls.items()}


def test_a_trainer_killed_in_any_call_keeps_what_it_said(start, store, bases):
    flags = ["--no-allow-hub", "--threads=1", "--slots=2", f"--model-roots={bases}"]
    made = Inputs(store.root.removeprefix("file://"), bases).examples("learnt", second=None)
    spec = trainer_pb2.RunSpec(
        model=trainer_pb2.ModelSpec(base=common.ModelRef(uri=f"file://{bases}/encoder"), max_length=16),
        dataset=common.DatasetRef(uri=made.uri),
        training=trainer_pb2.TrainingConfig(epochs=1, batch_size=4, evaluations=0),
    )
    server = start("trainer", *flags)
    with server.client() as client:
        whole = client.train(spec, "c-0")
        assert whole.status.state == SUCCEEDED, whole.status.error.message

    def create(client, id_, priority=0):
        return client.CreateRun(run=trainer_pb2.Run(spec=spec, priority=priority), request_id=id_)

    def create_often(client, number):
        # Each takes a second: as many as there are slots for at once.
        time.sleep(0.4)
        return create(client, f"c-{number}")

    def delete(client, number):
        run = create(client, f"gone-{number}")
        client.CancelRun(name=run.name)
        return client.DeleteRun(name=run.name)

    calls = {
        ("trainer", "CreateRun"): create_often,
        ("trainer", "GetRun"): lambda client, number: client.GetRun(name=whole.name),
        ("trainer", "ListRuns"): lambda client, number: client.ListRuns(),
        ("trainer", "WatchRun"): lambda client, number: first(client.WatchRun(name=whole.name)),
        ("trainer", "CancelRun"): cancelled_at_once(partial(create, priority=1), "CancelRun"),
        ("trainer", "DeleteRun"): delete,
    }

    def check(callers):
        with server.client() as client:
            runs = jobs_of(client.ListRuns, "runs")
            assert {f"c-{number}" for number in callers.acknowledged["CreateRun"]} <= set(runs)
            gone = {f"gone-{number}" for number in callers.acknowledged["DeleteRun"]}
            assert gone & set(runs) == set()
            assert [id_ for id_ in gone if store.workspace("models", id_).names()] == []
            ended = settled(client, runs, callers, c="CreateRun", x="CancelRun", gone="DeleteRun")
            digests = {run.result.model.digest for run in ended.values() if run.status.state == SUCCEEDED}
            assert digests == {whole.result.model.digest}

    killed_and_checked(server, flags, calls, check, "trainer")


def observe(client, student, id_):
    """Tells the monitor of one answer of a student's; what it said to that."""
    row = monitor_pb2.Observation(example=common.Example(id=id_, text=f"text {id_}"), probabilities=(0.7, 0.2, 0.1))
    request = monitor_pb2.ObserveRequest(student=student, observations=[row])
    (told,) = client.stub.Observe(iter([request]), timeout=60)
    return told


def post_inference(server, id_):
    """Posts both events of an inference of `team/student`; what each became."""
    sides = {
        "request": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [f"text {id_}"]}]},
        "response": {
            "outputs": [{"name": "probabilities", "shape": [1, 3], "datatype": "FP32", "data": [0.5, 0.25, 0.25]}]
        },
    }
    attributes = {"specversion": "1.0", "source": "http://localhost/", "namespace": "team", "component": "predictor"}
    outcomes = []
    for side, body in sides.items():
        type_ = f"org.kubeflow.serving.inference.{side}"
        event = {**attributes, "id": id_, "type": type_, "inferenceservicename": "student", "data": body}
        with contextlib.closing(http.client.HTTPConnection(server.addresses["events"], timeout=60)) as connection:
            connection.request("POST", "/", json.dumps(event), {"content-type": "application/cloudevents+json"})
            response = connection.getresponse()
            assert response.status == 202, response.read()
            outcomes.append(json.loads(response.read())["outcome"])
    return outcomes


def test_an_evaluator_killed_in_any_call_keeps_what_it_said(start, store, connected, model_server, oracle, topics):
    model = store_classifier(store)
    names = store.manifest(model.uri).config["label_names"]
    dataset = examples_dataset(store, "judged", 200, names)
    spec = evaluator_pb2.EvaluationSpec(dataset=dataset, model=common.ModelRef(uri=model.uri, digest=model.digest))
    flags = ["--threads=1", f"--supervisor-address={model_server.target}", "--max-students=1000"]
    server = start("evaluator", *flags)
    with server.client() as client:
        whole = client.ended(client.CreateEvaluation(evaluation=evaluator_pb2.Evaluation(spec=spec), request_id="e-0"))
        assert whole.status.state == SUCCEEDED, whole.status.error.message
    served = monitor_pb2.StudentSpec(dimension="topic", label_names=CLASSES, inference_service="team/student")
    with connected("monitor", server.target) as monitor:
        monitor.RegisterStudent(student_id="served", spec=served)
    found = whole.result.predictions
    student = monitor_pb2.StudentSpec(dimension="topic", label_names=CLASSES, labels_per_second=1000)
    outcome = monitor_pb2.Outcome(id="o-0", label="sports")

    def evaluate(client, id_):
        return client.CreateEvaluation(evaluation=evaluator_pb2.Evaluation(spec=spec), request_id=id_)

    def unregister(client, number):
        client.RegisterStudent(student_id=f"gone-{number}", spec=student)
        client.UnregisterStudent(name=f"students/gone-{number}")

    arms = {"weak": [found], "student": [found], "ceiling": [found]}
    calls = {
        ("evaluator", "CreateEvaluation"): lambda client, number: evaluate(client, f"e-{number}"),
        ("evaluator", "GetEvaluation"): lambda client, number: client.GetEvaluation(name=whole.name),
        ("evaluator", "ListEvaluations"): lambda client, number: client.ListEvaluations(),
        ("evaluator", "WatchEvaluation"): lambda client, number: first(client.WatchEvaluation(name=whole.name)),
        ("evaluator", "CancelEvaluation"): cancelled_at_once(evaluate, "CancelEvaluation"),
        ("evaluator", "Compare"): lambda client, number: client.Compare(**arms),
        ("evaluator", "CompareAll"): lambda client, number: client.CompareAll(
            comparisons=[evaluator_pb2.CompareRequest(**arms)]
        ),
        ("evaluator", "AssessDeception"): lambda client, number: client.AssessDeception(
            weak=found, strong=found, student=found
        ),
        ("monitor", "RegisterStudent"): lambda client, number: client.RegisterStudent(
            student_id=f"s-{number}", spec=student
        ),
        ("monitor", "GetStudent"): lambda client, number: client.GetStudent(name="students/s-0"),
        ("monitor", "ListStudents"): lambda client, number: client.ListStudents(),
        ("monitor", "UnregisterStudent"): unregister,
        ("monitor", "Observe"): lambda client, number: observe(client, "students/s-0", f"o-{number}"),
        ("monitor", "ReportOutcomes"): lambda client, number: client.ReportOutcomes(
            student="students/s-0", outcomes=[outcome]
        ),
        ("monitor", "GetMonitorReport"): lambda client, number: client.GetMonitorReport(name="students/s-0"),
        ("monitor", "event"): lambda client, number: post_inference(server, f"h-{number}"),
    }

    def check(callers):
        with server.client() as client:
            jobs = jobs_of(client.ListEvaluations, "evaluations")
            assert {f"e-{number}" for number in callers.acknowledged["CreateEvaluation"]} <= set(jobs)
            ended = settled(client, jobs, callers, e="CreateEvaluation", x="CancelEvaluation")
            digests = {one.result.predictions.digest for one in ended.values() if one.status.state == SUCCEEDED}
            assert digests == {found.digest}
        with connected("monitor", server.target) as monitor:
            there = {one.name for one in monitor.ListStudents(page_size=1000).students}
            names = {f"students/s-{number}" for number in callers.acknowledged["RegisterStudent"]}
            gone = {f"students/gone-{number}" for number in callers.acknowledged["UnregisterStudent"]}
            assert (names - there, gone & there) == (set(), set())
            # What was acknowledged is known: told once more, it is a second time.
            seen = [n for n, told in callers.acknowledged["Observe"].items() if told.accepted][:50]
            assert all(observe(monitor, "students/s-0", f"o-{number}").duplicates == 1 for number in seen)
            joined = [n for n, told in callers.acknowledged["event"].items() if told == ["waiting", "joined"]][:50]
            assert all(post_inference(server, f"h-{number}") == ["duplicate"] * 2 for number in joined)
            assert all(observe(monitor, "students/served", f"h-{number}").duplicates == 1 for number in joined)

    killed_and_checked(server, flags, calls, check, "evaluator")
