from __future__ import annotations

from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactRef
from w2s.artifacts.tables import write_examples
from w2s.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, Unavailable
from w2s_supervisor import labeling
from w2s_supervisor.desk import Desk
from w2s_supervisor.labeling import Labeler, LabelingSpec
from w2s_supervisor.metrics import SupervisorMetrics

from .conftest import Rule


class Counting(Rule):
    """Counts the texts it was asked; fails the rows that say so, and as often at first as it is told."""

    def __init__(self, word, fails=0):
        super().__init__(word)
        self.asked = 0
        self.fails = fails

    async def label(self, rows, lane):
        if self.fails:
            self.fails -= 1
            raise Unavailable("the server is away")
        self.asked += len(rows)
        labels = await super().label(rows, lane)
        return [Internal("not finite") if row.text == "bad" else label for row, label in zip(rows, labels, strict=True)]


@pytest.fixture
def dataset(store):
    def make(*texts, names=("no", "yes")):
        config = {"label_names": list(names)}
        with store.write("datasets", f"d{len(texts)}", data_schema="w2s.examples/1", config=config) as draft:
            rows = [{"id": f"r{n}", "text": text, "label": 0} for n, text in enumerate(texts)]
            write_examples(draft.path, rows)
        return ArtifactRef(uri=draft.ref.uri)

    return make


@pytest.fixture
def labeler(store, registry, new_pool):
    """Labels in chunks of two rows, and waits a second for a teacher that is away."""
    desk = Desk(registry, new_pool(), SupervisorMetrics(CollectorRegistry()))
    return Labeler(store, desk, chunk_rows=2, patience_s=1.0)


@pytest.fixture
def label(labeler, register, monkeypatch):
    """Runs one attempt at a job: `await label(dataset, backend, id_="job")`."""
    monkeypatch.setattr(labeling, "_FIRST_DELAY_S", 0.01)

    async def run(dataset, backend, id_="job", number=1, reports=None, **fields):
        teacher = await register("a", number, lambda: backend)
        spec = LabelingSpec(dataset=dataset, **fields)
        pinned = await labeler.plan(spec, teacher)
        job = SimpleNamespace(id=id_, spec=spec.model_dump(mode="json"), extra=pinned)
        return await labeler.label(job, (reports if reports is not None else []).append)

    return run


def table(store, result):
    return pq.read_table(store.read(result["labels"]["uri"]).path / "labels.parquet").to_pydict()


async def test_every_row_has_its_label_and_its_teacher(label, dataset, store):
    reports = []
    result = await label(dataset("a", "b", "a b"), Counting("a"), reports=reports)
    found = table(store, result)
    assert (found["id"], found["label"]) == (["r0", "r1", "r2"], [1, 0, 1])
    assert set(found["teacher_digest"]) == {f"sha256:{1:064x}"}
    assert [(report.step, report.total_steps) for report in reports] == [(2, 3), (3, 3)]


async def test_an_attempt_goes_on_after_the_chunks_that_are_committed(label, dataset):
    backend, texts = Counting("a"), [f"a {n}" for n in range(6)] + ["bad"]
    whole = await label(dataset(*texts), backend, "whole", max_failed_rows=1)
    with pytest.raises(FailedPrecondition, match=r"1 rows cannot be labelled.*r6: not finite"):
        await label(dataset(*texts), backend, "job")
    asked = backend.asked
    result = await label(dataset(*texts), backend, "job", max_failed_rows=1)
    # The chunk with too many was not committed: it is one row that is asked again.
    assert (backend.asked, result["labels"]["digest"]) == (asked + 1, whole["labels"]["digest"])


async def test_rows_without_a_label_are_marked_and_bounded(label, dataset, store):
    result = await label(dataset("a", "bad", "b"), Counting("a"), max_failed_rows=1)
    found = table(store, result)
    assert (found["label"], found["error"]) == ([1, None, 0], [None, "not finite", None])
    assert result["failed_rows"] == 1


async def test_a_teacher_that_is_away_for_a_while_is_waited_for(label, dataset, store):
    backend = Counting("a")
    await label(dataset("a", "b"), backend, "first")
    backend.fails = 3
    result = await label(dataset("a", "b", "a"), backend, "second")
    assert (table(store, result)["label"], backend.fails) == ([1, 0, 1], 0)


async def test_a_teacher_that_stays_away_fails_the_job_in_the_end(label, dataset):
    backend = Counting("a")
    await label(dataset("a", "b"), backend, "first")
    backend.fails = 10_000
    with pytest.raises(Unavailable, match="the server is away"):
        await label(dataset("a", "b", "a"), backend, "second")
    assert 0 < backend.fails < 10_000 - 3


async def test_chunks_of_another_teacher_are_not_taken(label, dataset, store, registry):
    with pytest.raises(FailedPrecondition):
        await label(dataset("a", "a", "bad"), Counting("a"), "job")
    await registry.unregister("a")
    other = Counting("b")
    result = await label(dataset("a", "a", "bad"), other, "job", number=2, max_failed_rows=1)
    assert (other.asked, table(store, result)["label"]) == (4, [0, 0, None])


async def test_finished_labels_of_another_job_of_that_name_are_refused(label, dataset, registry):
    await label(dataset("a"), Counting("a"), "job")
    await registry.unregister("a")
    with pytest.raises(AlreadyExists, match="labels of another dataset or teacher"):
        await label(dataset("a"), Counting("a"), "job", number=2)


async def test_a_dataset_of_other_classes_is_refused(label, dataset):
    with pytest.raises(InvalidArgument, match=r"dataset\.uri: has classes \['x', 'y'\], and teachers/a"):
        await label(dataset("a", names=("x", "y")), Counting("a"))
