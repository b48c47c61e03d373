"""Disks that are full, read-only or slow, databases locked or gone, and clocks that are set: named, and outlived."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from helpers.run_inputs import Inputs
from support.faults import ANY, CLASSES, examples, examples_dataset, model_teacher
from support.slow_disk import slow_disk

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2, monitor_pb2
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.trainer.v1 import trainer_pb2

from .conftest import CLIENTS, Server

SUCCEEDED, FAILED = common.JOB_STATE_SUCCEEDED, common.JOB_STATE_FAILED
ROWS = 2000
# Of a run: some seconds' worth.
EPOCHS = 200
CLOCK = Path(__file__).parents[1] / "support" / "clock.c"
pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    """Makes file systems of 16 MiB, which go with the module."""
    with contextlib.ExitStack() as stack:

        def make(name):
            folder = tmp_path_factory.mktemp(name)
            command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("only root may mount a file system")
            stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return folder

        yield make


@contextlib.contextmanager
def full(folder):
    """Takes all the space of a disk, for a block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(1 << 12))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def read_only(folder):
    """Lets nobody write to a disk, for a block."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


BROKEN = pytest.mark.parametrize(
    ("broken", "code", "words"),
    [(full, 8, "no space left on the device"), (read_only, 9, "the disk is read-only")],
    ids=["full", "read-only"],
)


@pytest.fixture(scope="module")
def disk(mounted):
    """Where artifacts are."""
    return mounted("artifacts")


@pytest.fixture(scope="module")
def store(disk):
    return ArtifactStore(str(disk))


@pytest.fixture(scope="module")
def flags(model_root):
    return ["--no-allow-hub", "--threads=1", "--no-oip", "--chunk-rows=100", f"--model-roots={model_root}"]


def started(name, folder, disk, flags, **variables):
    server = Server(name, folder, disk)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        return server.start(*flags)


def with_topics(server, model_root):
    with server.client() as client:
        topics = client.RegisterTeacher(teacher_id="topics", spec=model_teacher(model_root, "topics"))
        assert client.activate(topics, gate=ANY).status.state == SUCCEEDED
    return server


@pytest.fixture(scope="module")
def server(mounted, disk, flags, model_root):
    """A supervisor with its artifacts and its state on small disks, and an active teacher."""
    server = started("supervisor", mounted("state"), disk, flags)
    try:
        yield with_topics(server, model_root)
    finally:
        server.kill()


@pytest.fixture
def client(server):
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def dataset(store):
    return examples_dataset(store, "rows", ROWS, CLASSES)


@pytest.fixture(scope="module")
def whole(server, dataset):
    """The labels that a job makes when nothing fails."""
    with server.client() as client:
        return client.ended(client.LabelDataset(dataset=dataset, request_id="undisturbed")).labels


class Work:
    """The jobs of one service, of which each makes the same.

    Args:
        server: The service.
        begin: Begins one of an id: `begin(client, id)`.
        made: The digest of what one that has ended has made.

    Attributes:
        expected: That digest where nothing fails.
    """

    def __init__(self, server, begin, made):
        self.server, self.begin, self.made = server, begin, made
        with server.client() as client:
            ended = client.ended(begin(client, "undisturbed"))
        assert ended.status.state == SUCCEEDED, ended.status.error.message
        self.expected = made(ended)

    def check(self, ended):
        """Asserts that a job has made what all make."""
        assert ended.status.state == SUCCEEDED, ended.status.error.message
        assert self.made(ended) == self.expected


@pytest.fixture(scope="module")
def labelling(server, dataset):
    return Work(
        server,
        lambda client, id_: client.LabelDataset(dataset=dataset, request_id=id_),
        lambda job: job.labels.digest,
    )


@pytest.fixture(scope="module")
def evaluating(tmp_path_factory, server, disk, dataset):
    found = started("evaluator", tmp_path_factory.mktemp("e"), disk, [f"--supervisor-address={server.target}"])
    source = evaluator_pb2.TeacherSource(teacher="teachers/topics")
    asked = evaluator_pb2.Evaluation(spec=evaluator_pb2.EvaluationSpec(dataset=dataset, teacher=source))
    yield Work(
        found,
        lambda client, id_: client.CreateEvaluation(evaluation=asked, request_id=id_),
        lambda evaluation: evaluation.result.predictions.digest,
    )
    found.kill()


@pytest.fixture(scope="module")
def run(bases, disk):
    """A run of a few seconds."""
    ids = [f"{number:02}" for number in range(32)]
    learnt = Inputs(disk, bases).examples("learnt", ids=ids, second=None)
    base = common.ModelRef(uri=f"file://{bases}/encoder")
    spec = trainer_pb2.RunSpec(
        model=trainer_pb2.ModelSpec(base=base, max_length=16, dropout=True),
        dataset=common.DatasetRef(uri=learnt.uri),
        training=trainer_pb2.TrainingConfig(epochs=EPOCHS, batch_size=8, evaluations=0),
    )
    return trainer_pb2.Run(spec=spec)


@pytest.fixture(scope="module")
def trainer_flags(bases):
    return ["--no-allow-hub", "--threads=1", f"--model-roots={bases}"]


@pytest.fixture(scope="module")
def training(tmp_path_factory, disk, run, trainer_flags):
    found = started("trainer", tmp_path_factory.mktemp("t"), disk, trainer_flags)
    yield Work(
        found,
        lambda client, id_: client.CreateRun(run=run, request_id=id_),
        lambda run: run.result.model.digest,
    )
    found.kill()


@BROKEN
def test_a_job_fails_for_its_disk_and_goes_on_once_that_is_well(
    client, disk, store, dataset, whole, broken, code, words
):
    id_ = f"on-a-bad-disk-{code}"
    with broken(disk):
        failed = client.ended(client.LabelDataset(dataset=dataset, request_id=id_))
        assert (failed.status.state, failed.status.error.code) == (FAILED, code), failed.status.error.message
        assert words in failed.status.error.message
        assert store.find("labels", id_) is None
        # What needs no disk goes on.
        assert len(client.Label(examples=examples(3)).labels) == 3
    ended = client.ended(client.LabelDataset(dataset=dataset, request_id=id_))
    assert ended.status.state == SUCCEEDED, ended.status.error.message
    assert ended.labels.digest == whole.digest
    assert store.read(ended.labels.uri, whole.digest).manifest.config["failed_rows"] == 0


@BROKEN
def test_an_evaluation_fails_for_its_disk_and_goes_on(evaluating, disk, store, broken, code, words):
    id_ = f"evaluated-on-a-bad-disk-{code}"
    with evaluating.server.client() as client:
        with broken(disk):
            failed = client.ended(evaluating.begin(client, id_))
            assert (failed.status.state, failed.status.error.code) == (FAILED, code), failed.status.error.message
            assert words in failed.status.error.message
            assert store.find("predictions", id_) is None
        evaluating.check(client.ended(evaluating.begin(client, id_)))


def test_a_full_disk_under_the_state_is_named_and_nothing_acknowledged_is_lost(server, client, model_root):
    spec = model_teacher(model_root, "topics")
    stored, refused = [], None
    with full(server.folder):
        for number in range(3000):
            try:
                stored.append(client.RegisterTeacher(teacher_id=f"t-{number}", spec=spec).name)
            except grpc.RpcError as error:
                refused = error
                break
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, refused.details()
        assert "no space left on the device while writing the database" in refused.details()
        assert len(client.Label(examples=examples(3)).labels) == 3
    for name in stored:
        assert client.GetTeacher(name=name).name == name
    assert client.RegisterTeacher(teacher_id="afterwards", spec=spec).name == "teachers/afterwards"


@pytest.fixture
def unhealthy(server):
    """When a service's health check took longer than five seconds, or said something else than that it serves."""
    found, over = [], threading.Event()

    def look():
        with grpc.insecure_channel(server.target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not over.wait(0.1):
                try:
                    status = stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status
                except grpc.RpcError as error:
                    status = error.code()
                if status != health_pb2.HealthCheckResponse.SERVING:
                    found.append(status)

    thread = threading.Thread(target=look)
    thread.start()
    yield found
    over.set()
    thread.join()


@pytest.fixture
def monitor(mounted, server, disk, connected):
    """The folder of an evaluator whose state is on a small disk, and a client of its monitor, with a student."""
    found = started("evaluator", mounted("monitor"), disk, [f"--supervisor-address={server.target}"])
    with connected("monitor", found.target) as client:
        spec = monitor_pb2.StudentSpec(dimension="topic", label_names=CLASSES)
        client.RegisterStudent(student_id="s", spec=spec)
        yield found.folder, client
    found.kill()


def test_a_full_disk_under_the_monitors_state_loses_no_observation_and_takes_none_twice(monitor):
    folder, client = monitor

    def observe(number):
        row = monitor_pb2.Observation(example=examples(number + 1)[-1], probabilities=(0.5, 0.25, 0.25))
        request = monitor_pb2.ObserveRequest(student="students/s", observations=[row])
        (told,) = client.stub.Observe(iter([request]), timeout=60)
        return told.accepted, told.duplicates

    stored, refused = [], None
    assert observe(0) == (1, 0)
    with full(folder):
        for number in range(1, 3000):
            stored.append(number - 1)
            try:
                assert observe(number) == (1, 0)
            except grpc.RpcError as error:
                refused = error
                break
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, refused.details()
        assert "no space left on the device while writing the database" in refused.details()
        report = client.GetMonitorReport(name="students/s")
        # The teacher may have labelled some before the disk was full.
        assert report.waiting + sum(one.observations for one in report.teachers) == len(stored)
    assert [observe(number) for number in stored] == [(0, 1)] * len(stored)
    assert observe(len(stored)) == (1, 0)


def test_a_slow_disk_costs_time_and_nothing_else(server, client, model_root, dataset, whole, unhealthy):
    request = pb.LabelDatasetRequest(dataset=dataset, request_id="on-a-slow-disk")
    with slow_disk([server.process.pid]):
        since = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            client.stub.LabelDataset(request, timeout=0.15)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED, caught.value.details()
        # Asked for again, it is made once.
        job = client.stub.LabelDataset(request, timeout=60)
        # What needs no disk does not wait for it.
        asked = time.monotonic()
        assert len(client.Label(examples=examples(3)).labels) == 3
        assert time.monotonic() - asked < 5
        client.RegisterTeacher(teacher_id="slowly", spec=model_teacher(model_root, "topics"))
        ended = client.ended(job)
        assert time.monotonic() - since > 1
    assert (ended.status.state, ended.labels.digest) == (SUCCEEDED, whole.digest), ended.status.error.message
    assert [one.name for one in client.ListLabelingJobs().labeling_jobs].count(job.name) == 1
    assert client.GetTeacher(name="teachers/slowly").name == "teachers/slowly"
    assert unhealthy == []


@pytest.fixture(params=["labelling", "training", "evaluating"])
def work(request):
    return request.getfixturevalue(request.param)


def test_calls_wait_for_a_database_that_another_process_keeps_and_a_job_goes_on(work):
    folder, messages = work.server.folder, CLIENTS[work.server.name][1]
    with work.server.client() as client:
        job = work.begin(client, "kept-up")
        get = f"Get{type(job).__name__}"
        other = sqlite3.connect(folder / "state.db", isolation_level=None, timeout=30, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(grpc.RpcError) as caught:
            getattr(client.stub, get)(getattr(messages, f"{get}Request")(name=job.name), timeout=1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        threading.Timer(3, other.execute, ["ROLLBACK"]).start()
        assert getattr(client, get)(name=job.name).name == job.name
        work.check(client.ended(job))


def test_a_database_whose_file_goes_is_missed_at_once_and_back_as_it_was(work):
    state, aside = work.server.folder / "state.db", work.server.folder / "aside.db"
    with work.server.client() as client:
        under_way = work.begin(client, "under-way")
        state.rename(aside)
        with pytest.raises(grpc.RpcError) as caught:
            work.begin(client, "while-gone")
        said = (caught.value.code(), "put back the one" in caught.value.details())
        assert said == (grpc.StatusCode.UNAVAILABLE, True), caught.value.details()
        aside.rename(state)
        work.check(client.ended(under_way))
        work.check(client.ended(work.begin(client, "while-gone")))


@contextlib.contextmanager
def replicas_with_a_clock(name, tmp_path, disk, flags):
    """Two replicas of a service, and the file of the seconds that are added to their time of day."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler, for the clock that a test can set")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "clock.so", CLOCK, "-ldl"], check=True)
    offset = tmp_path / "offset"
    offset.write_text("0")
    variables = {"LD_PRELOAD": str(tmp_path / "clock.so"), "W2S_TEST_CLOCK": str(offset)}
    shared = f"--database-url=sqlite:///{tmp_path}/shared.db"
    with contextlib.ExitStack() as stack:
        servers = []
        for replica in ("one", "two"):
            (tmp_path / replica).mkdir()
            more = [f"--replica={replica}", "--follow-s=0.2"] if name == "supervisor" else []
            servers.append(started(name, tmp_path / replica, disk, [*flags, shared, *more], **variables))
            stack.callback(servers[-1].kill)
        yield servers, offset


def told_s(job):
    """How many seconds a job says that it took."""
    return job.status.end_time.ToSeconds() - job.status.start_time.ToSeconds()


JUMPS = pytest.mark.parametrize("seconds", [-3600, 3600])


@JUMPS
def test_a_clock_that_is_set_under_two_replicas_takes_no_job_from_its_owner(
    tmp_path, disk, flags, model_root, dataset, whole, seconds
):
    with replicas_with_a_clock("supervisor", tmp_path, disk, flags) as (servers, offset):
        with_topics(servers[0], model_root)
        with servers[0].client() as client:
            job = client.LabelDataset(dataset=dataset, request_id=f"clock{seconds}")
            client.until(job, lambda event: event.progress.step > 0)
            offset.write_text(str(seconds))
            ended = client.ended(job)
            time.sleep(4)
            replicas = {one.replica for one in client.GetTeacher(name="teachers/topics").replicas}
    assert abs(told_s(ended) - seconds) < 600
    assert (ended.status.state, ended.status.attempt, ended.labels.digest) == (SUCCEEDED, 1, whole.digest)
    assert replicas == {"one", "two"}


@JUMPS
def test_a_clock_that_is_set_under_two_trainers_takes_no_run_from_its_owner(
    tmp_path, disk, run, training, trainer_flags, seconds
):
    with (
        replicas_with_a_clock("trainer", tmp_path, disk, trainer_flags) as (servers, offset),
        servers[0].client() as one,
        servers[1].client() as two,
    ):
        asked = one.CreateRun(run=run, request_id=f"clock{seconds}")
        one.until(asked, lambda event: event.progress.stage == "train")
        offset.write_text(str(seconds))
        since = time.monotonic()
        ended = one.ended(asked)
        # Long enough for the other to have looked for runs whose lease is over.
        assert time.monotonic() - since > 1
        assert two.GetRun(name=asked.name) == ended
        assert [found.name for found in two.ListRuns().runs] == [asked.name]
    assert abs(told_s(ended) - seconds) < 600
    assert ended.status.attempt == 1
    training.check(ended)
