"""Labelling jobs on real processes: what is killed goes on where it was, to the same labels."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pyarrow.parquet as pq
import pytest

from w2s.artifacts.tables import write_examples
from w2s.common.v1 import common_pb2 as common

ROWS, CHUNK = 6000, 500


@pytest.fixture(scope="module")
def dataset(store):
    """Rows enough that a job is killed in their midst."""
    rows = [
        {"id": f"r{n}", "text": f"is number {n} {'odd' * (n % 3)}", "text_pair": f"number {n * 7} is known", "label": 0}
        for n in range(ROWS)
    ]
    config = {"label_names": ["irrelevant", "relevant"]}
    with store.write("datasets", "many-rows", data_schema="w2s.examples/1", config=config) as draft:
        write_examples(draft.path, rows)
    return common.DatasetRef(uri=draft.ref.uri, digest=draft.ref.digest)


def with_one_teacher(server, weak):
    with server.client() as client:
        client.activate(client.register("only", weak.result.model))
    return server


@pytest.fixture(scope="module")
def labeler(serve_all, weak):
    """A supervisor with one teacher, which commits small chunks."""
    return with_one_teacher(serve_all("supervisor", f"--chunk-rows={CHUNK}"), weak)


@pytest.fixture
def own(serve, weak):
    """Such a supervisor of the test's own."""
    return with_one_teacher(serve("supervisor", f"--chunk-rows={CHUNK}"), weak)


def labels_of(store, job):
    return store.read(job.labels.uri, job.labels.digest)


def done(event):
    return event.progress.step


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.faults)])
def test_a_killed_job_goes_on_to_the_same_labels(own, dataset, store, services, kills):
    with own.client() as client:
        whole = client.ended(client.LabelDataset(dataset=dataset, request_id=f"whole-{kills}"))
        job = client.LabelDataset(dataset=dataset, request_id=f"killed-{kills}")
    last = 0
    for _ in range(kills):
        with own.client() as client:
            event = client.until(job, lambda event, last=last: done(event) > last or event.state > 2)
            last = done(event)
        own.kill()
        own.start(f"--chunk-rows={CHUNK * 3}")
    with own.client() as client:
        resumed = client.ended(job)
        events = list(client.WatchLabelingJob(name=job.name))
    assert resumed.status.state == common.JOB_STATE_SUCCEEDED, resumed.status.error.message
    assert resumed.labels.digest == whole.labels.digest
    assert resumed.status.attempt == kills + 1
    # No chunk that was committed is labelled again: what is left is less with every attempt.
    assert last >= CHUNK
    resumed_steps = [done(event) for event in events if done(event)]
    assert resumed_steps[-1] == ROWS
    table = pq.read_table(labels_of(store, resumed).path / "labels.parquet")
    assert (len(table), table["id"].to_pylist()[-1], table["error"].null_count) == (ROWS, f"r{ROWS - 1}", ROWS)
    assert not (services.folder / "artifacts" / "labels" / ".work" / f"killed-{kills}").exists()


def test_a_job_is_pinned_and_repeats_whatever_is_active_now(labeler, dataset, teachers, refused):
    with labeler.client() as client:
        job = client.ended(client.LabelDataset(dataset=dataset, request_id="pinned-to-only"))
        client.activate(client.register("other", teachers.b.spec.model.model))
        again = client.LabelDataset(dataset=dataset, request_id="pinned-to-only")
        assert (again.teacher, again.labels) == (job.teacher, job.labels)
        with refused("ALREADY_EXISTS"):
            client.LabelDataset(dataset=dataset, request_id="pinned-to-only", max_failed_rows=1)


def test_a_teacher_with_a_job_under_way_is_not_unregistered(labeler, dataset, weak, refused):
    with labeler.client() as client:
        named = client.register("named", weak.result.model)
        job = client.LabelDataset(dataset=dataset, teacher=named.name)
        with refused("FAILED_PRECONDITION", words=f"{job.name} needs teachers/named"):
            client.UnregisterTeacher(name=named.name)
        client.CancelLabelingJob(name=job.name)
        client.UnregisterTeacher(name=named.name)
        with refused("NOT_FOUND"):
            client.GetTeacher(name=named.name)
        # The job still tells whose labels they were to be.
        assert client.GetLabelingJob(name=job.name).teacher == named.version


def test_a_cancelled_job_leaves_nothing_behind(labeler, dataset, services, eventually):
    work = services.folder / "artifacts" / "labels" / ".work"
    with labeler.client() as client:
        job = client.LabelDataset(dataset=dataset, request_id="to-be-cancelled")
        client.until(job, lambda event: done(event) > 0)
        assert (work / "to-be-cancelled").exists()
        client.CancelLabelingJob(name=job.name)
    eventually(lambda: not (work / "to-be-cancelled").exists())


def test_rows_of_single_texts_are_refused_by_a_teacher_of_pairs(labeler, store):
    with store.write(
        "datasets", "single", data_schema="w2s.examples/1", config={"label_names": ["irrelevant", "relevant"]}
    ) as draft:
        write_examples(draft.path, [{"id": "1", "text": "alone", "text_pair": None, "label": 0}])
    with labeler.client() as client:
        job = client.ended(client.LabelDataset(dataset=common.DatasetRef(uri=draft.ref.uri)))
    assert (job.status.state, job.status.error.code) == (common.JOB_STATE_FAILED, 3)
    assert "judges pairs" in job.status.error.message


def test_memory_does_not_grow_with_the_rows(own, store):
    """Texts of 64 MB take no more memory than the chunk they are worked off in."""
    config = {"label_names": ["irrelevant", "relevant"]}

    def dataset(count):
        # One word that no tokenizer knows, so that reading it takes no time.
        rows = [{"id": f"{n}", "text": "x" * 4000, "text_pair": f"{n % 50}", "label": 0} for n in range(count)]
        with store.write("datasets", f"long-{count}", data_schema="w2s.examples/1", config=config) as draft:
            write_examples(draft.path, rows)
        return draft.ref.uri

    process = psutil.Process(own.process.pid)

    def peak(client, uri):
        job = client.LabelDataset(dataset=common.DatasetRef(uri=uri))
        top = 0
        while client.GetLabelingJob(name=job.name).status.state in (common.JOB_STATE_QUEUED, common.JOB_STATE_RUNNING):
            top = max(top, process.memory_info().rss)
            time.sleep(0.02)
        assert client.GetLabelingJob(name=job.name).status.state == common.JOB_STATE_SUCCEEDED
        return top

    uris = [dataset(count) for count in (1_000, 1_000, 16_000)]
    with own.client() as client:
        _, small, large = (peak(client, uri) for uri in uris)
    assert large - small < 32 << 20


def test_a_stopped_server_hands_its_job_on(labeler, dataset, store):
    with labeler.client() as client:
        job = client.LabelDataset(dataset=dataset)
        client.until(job, lambda event: done(event) > 0)
    os.kill(labeler.process.pid, signal.SIGTERM)
    assert labeler.process.wait(60) == 0
    labeler.start(f"--chunk-rows={CHUNK}")
    with labeler.client() as client:
        ended = client.ended(job)
    assert ended.status.state == common.JOB_STATE_SUCCEEDED
    assert store.read(ended.labels.uri, ended.labels.digest).manifest.config["failed_rows"] == 0
