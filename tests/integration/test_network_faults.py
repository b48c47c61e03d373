"""Networks that cut, hold up and break what services say to each other, through a proxy that is told to."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from pathlib import Path

import grpc
import pytest
from support import postgres
from support.faults import ANY, CLASSES, examples, examples_dataset, model_teacher, prompts_dataset
from support.proxy import proxied
from support.text_generation import running

from w2s.artifacts import ArtifactStore
from w2s.client import connect, follow
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2, monitor_pb2
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc

from .conftest import Server

SUCCEEDED = common.JOB_STATE_SUCCEEDED
ROWS, PROMPTS, OBSERVATIONS = 2000, 24, 400
# A call through a network that is gone ends within its deadline and this.
SLACK_S = 2.0


@pytest.fixture(scope="module")
def toy():
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def far(toy):
    """The network between the supervisor and a text-generation server."""
    with proxied(toy.url.removeprefix("http://")) as network:
        yield network


@pytest.fixture(scope="module")
def server(tmp_path_factory, model_root, far):
    """A supervisor with the active teacher `topics`, a language model, and a teacher behind `far`."""
    folder = tmp_path_factory.mktemp("cut-off")
    server = Server("supervisor", folder, folder / "artifacts")
    flags = ["--no-allow-hub", "--threads=1", "--no-oip", "--chunk-rows=100", f"--model-roots={model_root}"]
    server.start(*flags, f"--endpoints=http://{far.target}")
    try:
        with server.client() as client:
            topics = client.RegisterTeacher(teacher_id="topics", spec=model_teacher(model_root, "topics"))
            assert client.activate(topics, gate=ANY).status.state == SUCCEEDED
            lm = model_teacher(model_root, "lm", language_model=pb.LanguageModelReading())
            client.RegisterTeacher(teacher_id="lm", spec=lm)
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def store(server):
    return ArtifactStore(str(server.artifact_root))


@pytest.fixture(scope="module")
def near(server):
    """The network between the supervisor and those who call it."""
    with proxied(server.target) as network:
        yield network


@pytest.fixture
def network(near):
    """That network, whole again at the end."""
    yield near
    near.set("pass")


@pytest.fixture
def client(server):
    with server.client() as found:
        yield found


@pytest.fixture
def remote(network, connected):
    """A client of the supervisor behind the network."""
    with connected("supervisor", network.target) as found:
        found.Label(examples=examples(1))
        yield found


@contextlib.contextmanager
def disturbed(network, seed, pause_s=0.3):
    """Breaks, cuts, resets and holds up a network at random moments, while the block lasts."""
    draw, over = random.Random(seed), threading.Event()

    def faults():
        while not over.wait(draw.uniform(0.1, pause_s)):
            kind = draw.choice(["cut", "reset", "drop", "refuse", "delay"])
            if kind in ("cut", "reset"):
                network.break_after(draw.randrange(1, 4000), reset=kind == "reset")
                continue
            network.set(kind)
            over.wait(draw.uniform(0.1, 0.6))
            network.set("pass")

    thread = threading.Thread(target=faults)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        network.set("pass")


@pytest.mark.parametrize("reset", [False, True])
def test_what_is_asked_once_is_made_once_though_the_answer_is_lost(client, remote, network, store, reset):
    dataset = examples_dataset(store, f"once-{reset}".lower(), 3, CLASSES)
    before = {job.name for job in client.ListLabelingJobs().labeling_jobs}
    broken = network.broken
    network.break_after(1, reset=reset)
    job = remote.LabelDataset(dataset=dataset)
    assert network.broken == broken + 1
    assert {job.name for job in client.ListLabelingJobs().labeling_jobs} - before == {job.name}
    assert client.ended(job).status.state == SUCCEEDED


@pytest.mark.faults
@pytest.mark.parametrize("mode", ["drop", "refuse"])
def test_a_call_into_nowhere_ends_by_its_deadline_and_the_next_is_answered(remote, network, mode):
    network.set(mode)
    since = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        remote.stub.Label(pb.LabelRequest(examples=examples(1)), timeout=2)
    assert caught.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    assert time.monotonic() - since < 2 + SLACK_S
    network.set("pass")
    assert len(remote.Label(examples=examples(2)).labels) == 2


@pytest.mark.faults
def test_a_slow_network_is_waited_for(remote, network):
    network.set("delay")
    assert len(remote.Label(examples=examples(3)).labels) == 3


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_a_watcher_hears_of_each_event_once_and_in_order(client, network, store, seed):
    heard, broken = [], network.connections
    job = client.LabelDataset(dataset=examples_dataset(store, "watched", ROWS, CLASSES))
    with disturbed(network, seed), connect(network.target) as channel:
        stub = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        follow(stub.WatchLabelingJob, pb.WatchLabelingJobRequest(name=job.name), heard.append)
    assert network.connections > broken
    assert [event.sequence for event in heard] == list(range(1, len(heard) + 1))
    assert heard[-1].state == SUCCEEDED


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory, server, near):
    """An evaluator that asks the supervisor through the network."""
    found = Server("evaluator", tmp_path_factory.mktemp("asking"), server.artifact_root)
    found.start("--threads=1", f"--supervisor-address={near.target}")
    yield found
    found.kill()


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["labels", "answers"])
def test_an_evaluation_under_way_ends_with_the_bytes_of_an_undisturbed_one(evaluator, network, store, kind):
    if kind == "labels":
        spec = {"dataset": examples_dataset(store, "evaluated", ROWS, CLASSES)}
        spec["teacher"] = evaluator_pb2.TeacherSource(teacher="teachers/topics")
    else:
        spec = {"dataset": prompts_dataset(store, "continued", PROMPTS)}
        spec["teacher"] = evaluator_pb2.TeacherSource(teacher="teachers/lm")
        scorers = [evaluator_pb2.ANSWER_SCORER_EXACT_MATCH]
        spec["generation"] = evaluator_pb2.Generation(samples=2, max_new_tokens=8, temperature=1, scorers=scorers)
    with evaluator.client() as client:
        undisturbed = client.evaluate(**spec)
        assert undisturbed.status.state == SUCCEEDED, undisturbed.status.error.message
        found = evaluator_pb2.Evaluation(spec=evaluator_pb2.EvaluationSpec(**spec))
        asked = client.CreateEvaluation(evaluation=found)
        with disturbed(network, kind):
            ended = client.ended(asked)
    assert ended.status.state == SUCCEEDED, ended.status.error.message
    assert (ended.status.attempt, ended.result.predictions.digest) == (1, undisturbed.result.predictions.digest)
    assert ended.result.metrics == undisturbed.result.metrics


@pytest.mark.faults
def test_each_observation_is_labelled_once_over_a_bad_network(evaluator, network, connected, eventually):
    with connected("monitor", evaluator.target) as monitor:
        spec = monitor_pb2.StudentSpec(
            dimension="topic", label_names=CLASSES, teacher="teachers/topics", labels_per_second=1000
        )
        monitor.RegisterStudent(student_id="watched", spec=spec)
        rows = [monitor_pb2.Observation(example=row, probabilities=(0.7, 0.2, 0.1)) for row in examples(OBSERVATIONS)]
        with disturbed(network, "observations"):
            batches = [
                monitor_pb2.ObserveRequest(student="students/watched", observations=rows[start : start + 50])
                for start in range(0, OBSERVATIONS, 50)
            ]
            told = list(monitor.stub.Observe(iter(batches), timeout=60))
            time.sleep(3)

        def labelled():
            report = monitor.GetMonitorReport(name="students/watched")
            return report if report.waiting == 0 and report.teachers else None

        report = eventually(labelled)
        monitor.UnregisterStudent(name="students/watched")
    assert sum(answer.sampled for answer in told) == OBSERVATIONS
    assert sum(one.observations for one in report.teachers) == OBSERVATIONS


@pytest.mark.faults
def test_a_job_whose_teacher_is_behind_a_bad_network_ends_with_the_same_labels(client, far, store):
    prompt = pb.PromptTemplate(
        template="Question: {text} Answer:", answers=[" yes", " no"], label_names=["good", "bad"]
    )
    backend = pb.TextGenerationBackend(url=f"http://{far.target}", prompt=prompt, timeout_s=2.0)
    teacher = client.RegisterTeacher(teacher_id="far", spec=pb.TeacherSpec(text_generation=backend))
    dataset = examples_dataset(store, "asked-far-away", 400, ["good", "bad"])
    whole = client.ended(client.LabelDataset(dataset=dataset, teacher=teacher.name))
    assert whole.status.state == SUCCEEDED, whole.status.error.message
    job = client.LabelDataset(dataset=dataset, teacher=teacher.name)
    with disturbed(far, "far"):
        ended = client.ended(job)
    assert ended.status.state == SUCCEEDED, ended.status.error.message
    assert (ended.labels.digest, ended.failed_rows, ended.status.attempt) == (whole.labels.digest, 0, 1)


@pytest.mark.faults
def test_a_database_behind_a_bad_network_is_missed_and_found_again(tmp_path, server, store, model_root):
    if not Path("/usr/lib/postgresql").is_dir():
        pytest.skip("needs Debian's postgresql")
    dataset = examples_dataset(store, "database-cut-off", ROWS, CLASSES)
    with postgres.running() as url, proxied(url.partition("@")[2]) as between:
        flags = ["--no-allow-hub", "--threads=1", "--no-oip", "--chunk-rows=50", f"--model-roots={model_root}"]
        shared = f"--database-url=postgresql+psycopg://w2s@{between.target}/postgres"
        found = Server("supervisor", tmp_path, server.artifact_root).start(*flags, shared)
        try:
            with found.client() as client:
                topics = client.RegisterTeacher(teacher_id="topics", spec=model_teacher(model_root, "topics"))
                assert client.activate(topics, gate=ANY).status.state == SUCCEEDED
                whole = client.ended(client.LabelDataset(dataset=dataset))
                between.set("refuse")
                with grpc.insecure_channel(found.target) as channel, pytest.raises(grpc.RpcError) as caught:
                    supervisor_pb2_grpc.SupervisorServiceStub(channel).GetTeacher(
                        pb.GetTeacherRequest(name="teachers/topics"), timeout=20
                    )
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, caught.value.details()
                assert "the database cannot be used now" in caught.value.details()
                between.set("pass")
                job = client.LabelDataset(dataset=dataset, request_id="database-cut-off")
                with disturbed(between, "database"):
                    ended = client.ended(job)
                assert [one.name for one in client.ListLabelingJobs().labeling_jobs] == [job.name, whole.name]
        finally:
            found.kill()
    assert (ended.status.state, ended.labels.digest) == (SUCCEEDED, whole.labels.digest), ended.status.error.message
