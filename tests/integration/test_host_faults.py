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
from support.faults import ANY, CLASSES, examples, examples_dataset, model_teacher
from support.slow_disk import slow_disk

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2 as pb

from .conftest import Server

SUCCEEDED, FAILED = common.JOB_STATE_SUCCEEDED, common.JOB_STATE_FAILED
ROWS = 2000
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
def test_an_evaluation_fails_for_its_disk_and_goes_on(
    tmp_path_factory, server, disk, store, dataset, broken, code, words
):
    found = started("evaluator", tmp_path_factory.mktemp("e"), disk, [f"--supervisor-address={server.target}"])
    spec = {"dataset": dataset, "teacher": evaluator_pb2.TeacherSource(teacher="teachers/topics")}
    id_ = f"evaluated-on-a-bad-disk-{code}"
    try:
        with found.client() as client:
            with broken(disk):
                failed = client.evaluate(id_, **spec)
                assert (failed.status.state, failed.status.error.code) == (FAILED, code), failed.status.error.message
                assert words in failed.status.error.message
                assert store.find("predictions", id_) is None
            assert client.evaluate(id_, **spec).status.state == SUCCEEDED
    finally:
        found.kill()


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


def test_calls_wait_for_a_database_that_another_process_keeps_and_a_job_goes_on(server, client, dataset, whole):
    job = client.LabelDataset(dataset=dataset, request_id="kept-up")
    other = sqlite3.connect(server.folder / "state.db", isolation_level=None, timeout=30, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(grpc.RpcError) as caught:
        client.stub.GetLabelingJob(pb.GetLabelingJobRequest(name=job.name), timeout=1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    threading.Timer(3, other.execute, ["ROLLBACK"]).start()
    assert client.GetLabelingJob(name=job.name).name == job.name
    ended = client.ended(job)
    assert (ended.status.state, ended.labels.digest) == (SUCCEEDED, whole.digest), ended.status.error.message


def test_a_database_whose_file_goes_is_missed_at_once_and_back_as_it_was(server, client, model_root, dataset, whole):
    spec, state = model_teacher(model_root, "topics"), server.folder / "state.db"
    client.RegisterTeacher(teacher_id="before", spec=spec)
    state.rename(server.folder / "aside.db")
    with pytest.raises(grpc.RpcError) as caught:
        client.RegisterTeacher(teacher_id="while-gone", spec=spec)
    assert (caught.value.code(), "put back the one" in caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, True)
    (server.folder / "aside.db").rename(state)
    assert client.GetTeacher(name="teachers/before").name == "teachers/before"
    ended = client.ended(client.LabelDataset(dataset=dataset, request_id="after-the-file"))
    assert (ended.status.state, ended.labels.digest) == (SUCCEEDED, whole.digest)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_set_under_two_replicas_takes_no_job_from_its_owner(
    tmp_path, disk, store, flags, model_root, dataset, whole, seconds
):
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler, for the clock that a test can set")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "clock.so", CLOCK, "-ldl"], check=True)
    offset = tmp_path / "offset"
    offset.write_text("0")
    variables = {"LD_PRELOAD": str(tmp_path / "clock.so"), "W2S_TEST_CLOCK": str(offset)}
    shared = f"--database-url=sqlite:///{tmp_path}/shared.db"
    servers = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            more = [*flags, shared, f"--replica={name}", "--follow-s=0.2"]
            servers.append(started("supervisor", tmp_path / name, disk, more, **variables))
        with_topics(servers[0], model_root)
        with servers[0].client() as client:
            job = client.LabelDataset(dataset=dataset, request_id=f"clock{seconds}")
            client.until(job, lambda event: event.progress.step > 0)
            offset.write_text(str(seconds))
            ended = client.ended(job)
            told = ended.status.end_time.ToSeconds() - ended.status.start_time.ToSeconds()
            time.sleep(4)
            replicas = {one.replica for one in client.GetTeacher(name="teachers/topics").replicas}
    finally:
        for server in servers:
            server.kill()
    assert abs(told - seconds) < 600
    assert (ended.status.state, ended.status.attempt, ended.labels.digest) == (SUCCEEDED, 1, whole.digest)
    assert replicas == {"one", "two"}
