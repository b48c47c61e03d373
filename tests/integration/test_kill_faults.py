"""Services killed while every one of their methods is being called: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import defaultdict

import grpc
import pytest
from helpers.run_inputs import Inputs
from helpers.stored_models import store_classifier
from support.faults import ANY, CLASSES, examples, examples_dataset, model_teacher

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2, monitor_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2

from .conftest import CLIENTS, Client, Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
ROUNDS = int(os.environ.get("W2S_FAULT_ROUNDS", "3"))
SUCCEEDED, CANCELLED = common.JOB_STATE_SUCCEEDED, common.JOB_STATE_CANCELLED
# What a caller may be told besides an answer: the server is gone, busy, or the thing is not, or is no more.
TOLD = {"UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "NOT_FOUND"}


class Callers:
    """Threads that call the methods of some services, one each, until the server is killed under them.

    Attributes:
        asked: How often each method was called.
        acknowledged: What each method's numbers were answered with.
        wrong: What no caller should be told.
    """

    def __init__(self, calls):
        self._calls = calls
        self._numbers = {method: itertools.count() for _, method in calls}
        self.asked = defaultdict(int)
        self.acknowledged = defaultdict(dict)
        self.wrong = []

    def until_killed(self, server, after_s):
        """Calls all methods for so long, kills the server, and waits for the callers to notice."""
        over = threading.Event()
        threads = [threading.Thread(target=self._call, args=(server.target, key, over)) for key in self._calls]
        for thread in threads:
            thread.start()
        time.sleep(after_s)
        server.kill()
        over.set()
        for thread in threads:
            thread.join()

    def _call(self, target, key, over):
        service, method = key
        stub, messages = CLIENTS[service]
        with grpc.insecure_channel(target) as channel:
            client = Client(stub(channel), messages)
            while not over.is_set():
                number = next(self._numbers[method])
                self.asked[method] += 1
                try:
                    self.acknowledged[method][number] = self._calls[key](client, number)
                except grpc.RpcError as error:
                    if error.code().name not in TOLD:
                        self.wrong.append((method, error.code().name, error.details()))
                except Exception as error:
                    self.wrong.append((method, repr(error)))
                time.sleep(0.02)


def methods(*names):
    """Every method of some services."""
    files = {"supervisor": supervisor_pb2, "trainer": trainer_pb2, "evaluator": evaluator_pb2, "monitor": monitor_pb2}
    services = {name: f"{name.title()}Service" for name in names}
    return {
        (name, m.name) for name, of in services.items() for m in files[name].DESCRIPTOR.services_by_name[of].methods
    }


def killed_and_checked(server, flags, calls, check, seed):
    """Rounds of calls, a kill at a random moment, a start, and a check of all that was acknowledged so far."""
    callers, draw = Callers(calls), random.Random(seed)
    for _ in range(ROUNDS):
        callers.until_killed(server, draw.uniform(0.2, 2.5))
        server.start(*flags)
        check(callers)
    assert callers.wrong == []
    # No method was left out.
    assert set(callers.asked) == {method for _, method in calls}


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


def settled(client, jobs, asked, prefix):
    """Each job, ended; each is one that was asked for, and one a request."""
    assert set(jobs) <= {f"{prefix}-{number}" for number in range(asked)}
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
        servers.append(Server(name, folder, tmp_path / "artifacts").start(*flags))
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
    flags = ["--no-allow-hub", "--threads=1", "--no-oip", "--chunk-rows=100", f"--model-roots={model_root}"]
    server, dataset = start("supervisor", *flags), examples_dataset(store, "rows", 300, CLASSES)
    spec, rows = model_teacher(model_root, "topics"), examples(2)
    pair = supervisor_pb2.CompletionPair(id="p", prompt="say", completion_a=" yes", completion_b=" no")
    with server.client() as client:
        for id_, teacher in {
            "topics": spec,
            "topics-too": model_teacher(model_root, "topics-too"),
            "lm": model_teacher(model_root, "lm", language_model=supervisor_pb2.LanguageModelReading()),
        }.items():
            client.RegisterTeacher(teacher_id=id_, spec=teacher)
        for id_ in ("topics-too", "topics"):
            assert client.activate(client.GetTeacher(name=f"teachers/{id_}"), gate=ANY).status.state == SUCCEEDED
        whole = client.ended(client.LabelDataset(dataset=dataset, teacher="teachers/topics", request_id="l-0"))
        swap = next(iter(client.ListActivations().activations)).name

    def unregister(client, number):
        client.RegisterTeacher(teacher_id=f"gone-{number}", spec=spec)
        client.UnregisterTeacher(name=f"teachers/gone-{number}")

    def swapped(client, number):
        return client.ActivateTeacher(
            name=f"teachers/topics{('', '-too')[number % 2]}", gate=ANY, request_id=f"a-{number}"
        )

    label, compare = {"examples": rows, "teacher": "teachers/topics"}, {"pairs": [pair], "teacher": "teachers/lm"}
    completion = supervisor_pb2.Completion(id="c", prompt="say", completion=" yes")
    calls = {
        "RegisterTeacher": lambda client, number: client.RegisterTeacher(teacher_id=f"t-{number}", spec=spec),
        "GetTeacher": lambda client, number: client.GetTeacher(name="teachers/topics"),
        "ListTeachers": lambda client, number: client.ListTeachers(),
        "UnregisterTeacher": unregister,
        "ActivateTeacher": swapped,
        "RollbackTeacher": lambda client, number: client.RollbackTeacher(request_id=f"r-{number}"),
        "GetActivation": lambda client, number: client.GetActivation(name=swap),
        "ListActivations": lambda client, number: client.ListActivations(),
        "WatchActivation": lambda client, number: first(client.WatchActivation(name=swap)),
        "CancelActivation": lambda client, number: client.CancelActivation(name=f"activations/a-{number}"),
        "Label": lambda client, number: client.Label(**label),
        "LabelStream": lambda client, number: list(
            client.stub.LabelStream(iter([supervisor_pb2.LabelRequest(**label)]), timeout=60)
        ),
        "Score": lambda client, number: client.Score(completions=[completion], teacher="teachers/lm"),
        "Compare": lambda client, number: client.Compare(**compare),
        "Generate": lambda client, number: list(
            client.Generate(prompts=["say"], teacher="teachers/lm", max_new_tokens=4)
        ),
        "LabelDataset": lambda client, number: client.LabelDataset(
            dataset=dataset, teacher="teachers/topics", request_id=f"l-{number}"
        ),
        "GetLabelingJob": lambda client, number: client.GetLabelingJob(name=whole.name),
        "ListLabelingJobs": lambda client, number: client.ListLabelingJobs(),
        "WatchLabelingJob": lambda client, number: first(client.WatchLabelingJob(name=whole.name)),
        "CancelLabelingJob": lambda client, number: client.CancelLabelingJob(name=f"labelingJobs/l-{number * 7 + 3}"),
    }
    calls = {("supervisor", method): call for method, call in calls.items()}
    assert set(calls) == methods("supervisor")

    def check(callers):
        with server.client() as client:
            names = {f"teachers/t-{number}" for number in callers.acknowledged["RegisterTeacher"]}
            gone = {f"teachers/gone-{number}" for number in callers.acknowledged["UnregisterTeacher"]}
            there = {one.name for one in all_teachers(client)}
            assert (names - there, gone & there) == (set(), set())
            jobs = jobs_of(client.ListLabelingJobs, "labeling_jobs")
            assert {f"l-{number}" for number in callers.acknowledged["LabelDataset"]} <= set(jobs)
            ended = settled(client, jobs, callers.asked["LabelDataset"], "l")
            digests = {job.labels.digest for job in ended.values() if job.status.state == SUCCEEDED}
            assert digests == {whole.labels.digest}
            swaps = jobs_of(client.ListActivations, "activations")
            for kind, method in (("a", "ActivateTeacher"), ("r", "RollbackTeacher")):
                assert {f"{kind}-{number}" for number in callers.acknowledged[method]} <= set(swaps)
            assert {client.ended(one).status.state for one in swaps.values()} <= {SUCCEEDED, CANCELLED}
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

    def deleted(client, number):
        return client.DeleteRun(name=f"runs/c-{number * 5 + 2}")

    def create(client, number):
        # Each takes a second: as many as there are slots for at once.
        time.sleep(0.4)
        return client.CreateRun(run=trainer_pb2.Run(spec=spec), request_id=f"c-{number}")

    calls = {
        ("trainer", "CreateRun"): create,
        ("trainer", "GetRun"): lambda client, number: client.GetRun(name=whole.name),
        ("trainer", "ListRuns"): lambda client, number: client.ListRuns(),
        ("trainer", "WatchRun"): lambda client, number: first(client.WatchRun(name=whole.name)),
        ("trainer", "CancelRun"): lambda client, number: client.CancelRun(name=f"runs/c-{number * 5 + 1}"),
        ("trainer", "DeleteRun"): deleted,
    }
    assert set(calls) == methods("trainer")

    def check(callers):
        with server.client() as client:
            runs = jobs_of(client.ListRuns, "runs")
            removed = {f"c-{number * 5 + 2}" for number in range(callers.asked["DeleteRun"])}
            assert {f"c-{number}" for number in callers.acknowledged["CreateRun"]} - removed <= set(runs)
            ended = settled(client, runs, callers.asked["CreateRun"], "c")
            digests = {run.result.model.digest for run in ended.values() if run.status.state == SUCCEEDED}
            assert digests == {whole.result.model.digest}

    killed_and_checked(server, flags, calls, check, "trainer")


def test_an_evaluator_killed_in_any_call_keeps_what_it_said(start, store, model_server, oracle, topics):
    model = store_classifier(store)
    names = store.manifest(model.uri).config["label_names"]
    dataset = examples_dataset(store, "judged", 200, names)
    spec = evaluator_pb2.EvaluationSpec(dataset=dataset, model=common.ModelRef(uri=model.uri, digest=model.digest))
    flags = ["--threads=1", f"--supervisor-address={model_server.target}", "--max-students=1000"]
    server = start("evaluator", *flags)
    with server.client() as client:
        whole = client.ended(client.CreateEvaluation(evaluation=evaluator_pb2.Evaluation(spec=spec), request_id="e-0"))
        assert whole.status.state == SUCCEEDED, whole.status.error.message
    found = whole.result.predictions
    student = monitor_pb2.StudentSpec(dimension="topic", label_names=CLASSES, labels_per_second=1000)
    outcome = monitor_pb2.Outcome(id="o-0", label="sports")

    def observe(client, number):
        row = monitor_pb2.Observation(
            example=common.Example(id=f"o-{number}", text=f"text {number}"), probabilities=(0.7, 0.2, 0.1)
        )
        return list(
            client.stub.Observe(
                iter([monitor_pb2.ObserveRequest(student="students/s-0", observations=[row])]), timeout=60
            )
        )

    def unregister(client, number):
        client.RegisterStudent(student_id=f"gone-{number}", spec=student)
        client.UnregisterStudent(name=f"students/gone-{number}")

    arms = {"weak": [found], "student": [found], "ceiling": [found]}
    calls = {
        ("evaluator", "CreateEvaluation"): lambda client, number: client.CreateEvaluation(
            evaluation=evaluator_pb2.Evaluation(spec=spec), request_id=f"e-{number}"
        ),
        ("evaluator", "GetEvaluation"): lambda client, number: client.GetEvaluation(name=whole.name),
        ("evaluator", "ListEvaluations"): lambda client, number: client.ListEvaluations(),
        ("evaluator", "WatchEvaluation"): lambda client, number: first(client.WatchEvaluation(name=whole.name)),
        ("evaluator", "CancelEvaluation"): lambda client, number: client.CancelEvaluation(
            name=f"evaluations/e-{number * 7 + 3}"
        ),
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
        ("monitor", "Observe"): observe,
        ("monitor", "ReportOutcomes"): lambda client, number: client.ReportOutcomes(
            student="students/s-0", outcomes=[outcome]
        ),
        ("monitor", "GetMonitorReport"): lambda client, number: client.GetMonitorReport(name="students/s-0"),
    }
    assert set(calls) == methods("evaluator", "monitor")

    def check(callers):
        with server.client() as client:
            jobs = jobs_of(client.ListEvaluations, "evaluations")
            assert {f"e-{number}" for number in callers.acknowledged["CreateEvaluation"]} <= set(jobs)
            ended = settled(client, jobs, callers.asked["CreateEvaluation"], "e")
            digests = {one.result.predictions.digest for one in ended.values() if one.status.state == SUCCEEDED}
            assert digests == {found.digest}
        stub, messages = CLIENTS["monitor"]
        with grpc.insecure_channel(server.target) as channel:
            monitor = Client(stub(channel), messages)
            there = {one.name for one in monitor.ListStudents(page_size=1000).students}
            names = {f"students/s-{number}" for number in callers.acknowledged["RegisterStudent"]}
            gone = {f"students/gone-{number}" for number in callers.acknowledged["UnregisterStudent"]}
            assert (names - there, gone & there) == (set(), set())
            # What was acknowledged is known: told once more, it is a second time.
            seen = [n for n, told in callers.acknowledged["Observe"].items() if told and told[0].accepted][:50]
            assert all(observe(monitor, number)[0].duplicates == 1 for number in seen)

    killed_and_checked(server, flags, calls, check, "evaluator")
