"""Supervisors that share a database: one desired teacher, one runner for every job."""

from __future__ import annotations

import contextlib

import pytest
from support.postgres import new_database

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

from .conftest import Server

FLAGS = ("--follow-s=0.2", "--chunk-rows=500")


@pytest.fixture
def database(tmp_path):
    """The flag of a database to share: SQLite, or PostgreSQL where a server was started for the tests."""
    return f"--database-url={new_database() or f'sqlite:///{tmp_path}/shared.db'}"


@pytest.fixture
def replicas(tmp_path, services, database):
    """Two supervisors, `one` and `two`, on one database."""
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            server = Server("supervisor", folder, services.artifact_root)
            stack.callback(server.kill)
            server.start(f"--replica={name}", database, *FLAGS)
            servers.append(server)
        yield servers


@pytest.fixture
def both(replicas):
    with replicas[0].client() as one, replicas[1].client() as two:
        yield one, two


def states(client, teacher):
    found = client.GetTeacher(name=teacher.name).replicas
    return {replica.replica: pb.TeacherState.Name(replica.state)[14:] for replica in found}


def test_replicas_converge_to_the_desired_teacher_and_tell(both, weak, teachers, examples, eventually):
    one, two = both
    first = one.register("first", weak.result.model)
    second = two.register("second", teachers.b.spec.model.model)
    assert one.activate(first).status.state == common.JOB_STATE_SUCCEEDED
    eventually(lambda: states(two, first) == {"one": "ACTIVE", "two": "ACTIVE"})
    assert two.Label(examples=examples[:3]) == one.Label(examples=examples[:3])

    assert two.activate(second).status.state == common.JOB_STATE_SUCCEEDED
    eventually(lambda: states(one, second) == {"one": "ACTIVE", "two": "ACTIVE"})
    assert {client.Label(examples=examples[:1]).teacher.digest for client in both} == {second.version.digest}
    assert one.ended(one.RollbackTeacher()).teacher == first.name
    eventually(lambda: states(two, first) == {"one": "ACTIVE", "two": "ACTIVE"})


@pytest.mark.faults
def test_a_replica_that_cannot_follow_says_why_and_serves_on(replicas, both, weak, copied, flip, examples, eventually):
    one, two = both
    first = one.register("first", weak.result.model)
    one.activate(first)
    eventually(lambda: states(one, first) == {"one": "ACTIVE", "two": "ACTIVE"})
    folder, uri = copied("models", "weak")
    damaged = one.register("damaged", common.ModelRef(uri=uri))
    # The replica that activates it has it in memory already; the other one finds it damaged.
    assert one.activate(damaged, load_only=True).status.state == common.JOB_STATE_SUCCEEDED
    loaded = {name: {"one": "REGISTERED", "two": "REGISTERED", name: "LOADED"} for name in ("one", "two")}
    eventually(lambda: states(one, damaged) in loaded.values())
    holder = next(name for name, state in states(one, damaged).items() if state == "LOADED")
    flip(folder / "model.safetensors")
    able, unable = (one, two) if holder == "one" else (two, one)
    # Whichever takes the activation up: only the holder can do it.
    eventually(lambda: able.activate(damaged).status.state == common.JOB_STATE_SUCCEEDED)
    other = "two" if holder == "one" else "one"
    eventually(lambda: states(able, damaged) == {holder: "ACTIVE", other: "FAILED"})
    said = {replica.replica: replica.message for replica in able.GetTeacher(name=damaged.name).replicas}
    assert said == {holder: "", other: f"the files of {uri} do not match its manifest"}
    assert unable.Label(examples=examples[:1]).teacher == first.version


@pytest.mark.faults
def test_a_replica_that_starts_later_serves_what_is_active(replicas, both, database, weak, examples):
    one, _ = both
    only = one.register("only", weak.result.model)
    one.activate(only)
    before = one.Label(examples=examples)
    replicas[1].process.terminate()
    replicas[1].process.wait(60)
    assert set(states(one, only)) == {"one"}
    replicas[1].start("--replica=three", database, *FLAGS)
    with replicas[1].client() as three:
        assert three.Label(examples=examples) == before
        assert states(three, only) == {"one": "ACTIVE", "three": "ACTIVE"}


def test_a_job_is_done_once_and_taken_over_when_its_replica_is_killed(replicas, both, weak, data, eventually):
    one, two = both
    one.activate(one.register("only", weak.result.model))
    whole = one.ended(one.LabelDataset(dataset=data["long"], request_id="whole"))
    # Either may run it: kill whichever did not answer for it, and it goes on in the other.
    job = one.LabelDataset(dataset=data["long"], request_id="shared")
    assert two.LabelDataset(dataset=data["long"], request_id="shared").name == job.name
    two.until(job, lambda event: event.progress.step > 0)
    replicas[0].kill()
    ended = two.ended(job)
    assert (ended.status.state, ended.labels.digest) == (common.JOB_STATE_SUCCEEDED, whole.labels.digest)
