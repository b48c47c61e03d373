"""Labels whole datasets: chunk by chunk, so that a killed job goes on where it was."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from w2s.artifacts import Artifact, ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import EXAMPLES_SCHEMA, LABELS_SCHEMA, check_schema, expect_schema, label_names
from w2s.artifacts.tables import LabelRow, iterate_examples, labels_table, write_labels
from w2s.artifacts.tables.reading import readable
from w2s.artifacts.workspace import Workspace
from w2s.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    W2SError,
)
from w2s.jobs import Job, Progress, Report
from w2s.models.inputs import Row
from w2s_supervisor.backends.protocol import Labelled, Lane
from w2s_supervisor.desk import Answer, Desk, Target
from w2s_supervisor.teachers import Teacher

log = logging.getLogger(__name__)

Examples = list[tuple[str, str, str]]

_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0


class LabelingSpec(BaseModel):
    """What a labelling job was asked.

    Attributes:
        dataset: What is labelled.
        teacher: The teacher's name; empty for the one that was active.
        required_digest: The digest it had to have; empty for any.
        max_failed_rows: Rows that may go without a label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: ArtifactRef
    teacher: str = ""
    required_digest: str = ""
    max_failed_rows: int = Field(default=0, ge=0)


class Labeler:
    """Labels datasets.

    Args:
        store: Where datasets are and labels go.
        desk: Asks the teacher.
        chunk_rows: Rows that new jobs commit at once.
        patience_s: Seconds that a job waits for a teacher that does not answer.
    """

    def __init__(self, store: ArtifactStore, desk: Desk, chunk_rows: int, patience_s: float) -> None:
        self._store = store
        self._desk = desk
        self._chunk_rows = chunk_rows
        self._patience_s = patience_s

    async def plan(self, spec: LabelingSpec, teacher: Teacher) -> dict[str, Any]:
        """Checks that a dataset can be labelled by a teacher, and pins what the job depends on.

        Raises:
            InvalidArgument: It is no dataset, or has other classes.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
        """
        manifest = await asyncio.to_thread(expect_schema, self._store, spec.dataset, EXAMPLES_SCHEMA, "dataset")
        names = tuple(label_names(manifest, "dataset"))
        if names != teacher.label_names:
            raise InvalidArgument(
                "dataset.uri", f"has classes {list(names)}, and {teacher.name} {list(teacher.label_names)}"
            )
        return {
            "teacher": list(teacher.version),
            "source": _source(teacher).model_dump(),
            "dataset": ArtifactRef(uri=spec.dataset.uri, digest=manifest.digest).model_dump(),
            "chunk_rows": self._chunk_rows,
        }

    async def label(self, job: Job, report: Report) -> dict[str, Any]:
        """Does a labelling job's work; returns where the labels are.

        Raises:
            FailedPrecondition: The teacher is another now, or too many rows cannot be labelled.
            AlreadyExists: The store has other labels of that name, from a database that is gone.
            W2SError: The dataset cannot be read, or the teacher does not answer.
        """
        spec = LabelingSpec.model_validate(job.spec)
        found = await asyncio.to_thread(self._store.find, "labels", job.id)
        if found is None:
            dataset = await asyncio.to_thread(self._read, ArtifactRef.model_validate(job.extra["dataset"]))
            work = _Work(self._store.workspace("labels", job.id), dataset, job.extra)
            await self._chunks(work, spec, report)
            found = await asyncio.to_thread(self._write, job.id, work)
        # Also what an attempt left that was killed just after it had written the labels.
        await asyncio.to_thread(self._store.workspace("labels", job.id).clear)
        manifest = await asyncio.to_thread(self._store.manifest, found.uri)
        made = (manifest.parents[0].digest, manifest.config["teacher"]["digest"])
        if made != (job.extra["dataset"]["digest"], job.extra["teacher"][2]):
            raise AlreadyExists(f"{found.uri} holds labels of another dataset or teacher; use another request_id")
        return {"labels": found.model_dump(), "failed_rows": manifest.config["failed_rows"]}

    def _read(self, ref: ArtifactRef) -> Artifact:
        artifact = self._store.read(ref.uri, ref.digest, "dataset.uri")
        check_schema(artifact.manifest, EXAMPLES_SCHEMA, "dataset")
        return artifact

    async def _chunks(self, work: _Work, spec: LabelingSpec, report: Report) -> None:
        total = await asyncio.to_thread(work.count)
        chunks = work.chunks()
        while (examples := await asyncio.to_thread(next, chunks, None)) is not None:
            table = await asyncio.to_thread(work.committed, examples)
            fresh = table is None
            if table is None:
                table = await self._chunk(work, examples)
            work.count_failed(table)
            if work.failed > spec.max_failed_rows:
                # Not committed: another attempt asks again.
                raise FailedPrecondition(
                    f"{work.failed} rows cannot be labelled, and max_failed_rows is {spec.max_failed_rows}: "
                    f"{work.reason}"
                )
            if fresh:
                await asyncio.to_thread(work.commit, table)
            work.add(table)
            report(Progress("label", work.rows, total, {"failed_rows": float(work.failed)}))

    async def _chunk(self, work: _Work, examples: Examples) -> pa.Table:
        name, _, digest = work.teacher
        target = Target(name.removeprefix("teachers/"), digest)
        answer = await self._ask(target, [Row(text, pair) for _, text, pair in examples])
        labels = zip(examples, answer.values, strict=True)
        return labels_table([_label_row(id_, value) for (id_, _, _), value in labels], work.teacher)

    async def _ask(self, target: Target, rows: list[Row]) -> Answer[Labelled]:
        """The teacher's answer, however often a server behind it has to be asked."""
        until, delay = time.monotonic() + self._patience_s, _FIRST_DELAY_S
        while True:
            try:
                return await self._desk.label(target, rows, Lane.BULK, "text_pair of row {} of the chunk")
            except InvalidArgument as error:
                raise InvalidArgument("dataset", error.message) from error
            except (Unavailable, ResourceExhausted, DeadlineExceeded) as error:
                if time.monotonic() + delay > until:
                    raise
                log.warning("the teacher does not answer", extra={"target": target.teacher_id, "why": error.message})
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MAX_DELAY_S)

    def _write(self, key: str, work: _Work) -> ArtifactRef:
        teacher, dataset = work.teacher, work.dataset
        config = {
            "teacher": dict(zip(("teacher", "revision", "digest"), teacher, strict=True)),
            "label_names": dataset.manifest.config["label_names"],
            "failed_rows": work.failed,
        }
        parents = [
            Parent(role="dataset", uri=dataset.ref.uri, digest=dataset.ref.digest),
            work.source,
        ]
        with self._store.write("labels", key, data_schema=LABELS_SCHEMA, config=config, parents=parents) as draft:
            write_labels(draft.path, work.tables())
        assert draft.ref is not None
        return draft.ref


class _Work:
    """One attempt at a job: the chunks of its dataset, and those committed so far."""

    def __init__(self, workspace: Workspace, dataset: Artifact, pinned: dict[str, Any]) -> None:
        self.workspace = workspace
        self.dataset = dataset
        self.teacher: tuple[str, str, str] = tuple(pinned["teacher"])
        self.source = Parent.model_validate(pinned["source"])
        self._chunk_rows: int = pinned["chunk_rows"]
        self.done = self.rows = self.failed = 0
        self.reason = ""

    def count(self) -> int:
        """Rows in the dataset."""
        with readable("examples.parquet", "dataset"):
            return int(pq.read_metadata(self.dataset.path / "examples.parquet").num_rows)

    def chunks(self) -> Iterator[Examples]:
        """The dataset's chunks, in order."""
        return iterate_examples(self.dataset, self._chunk_rows)

    def committed(self, examples: Examples) -> pa.Table | None:
        """The next chunk's labels, when an attempt before committed them."""
        table = self._table(self.done)
        if table is None:
            return None
        # A job's id may have been used before, with a database that is gone.
        names = ("teacher", "teacher_revision", "teacher_digest")
        same_teacher = [table[name].unique().to_pylist() for name in names] == [[value] for value in self.teacher]
        return table if same_teacher and table["id"].to_pylist() == [id_ for id_, _, _ in examples] else None

    def commit(self, table: pa.Table) -> None:
        """Keeps the next chunk's labels for attempts to come."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        self.workspace.write(self._part(self.done), sink.getvalue().to_pybytes())

    def count_failed(self, table: pa.Table) -> None:
        """Counts the next chunk's rows without a label."""
        bad = table.filter(pc.field("error").is_valid())
        if len(bad) and not self.reason:
            self.reason = f"{bad['id'][0]}: {bad['error'][0]}"
        self.failed += len(bad)

    def add(self, table: pa.Table) -> None:
        """Counts the next chunk as done."""
        self.done, self.rows = self.done + 1, self.rows + len(table)

    def tables(self) -> Iterator[pa.Table]:
        """The labels of every chunk, in order."""
        for number in range(self.done):
            table = self._table(number)
            assert table is not None
            yield table

    def _table(self, number: int) -> pa.Table | None:
        content = self.workspace.read(self._part(number))
        return None if content is None else pq.read_table(pa.BufferReader(content))

    def _part(self, number: int) -> str:
        dataset = self.dataset.ref.digest.removeprefix("sha256:")
        return f"{dataset[:16]}-{number:08d}.parquet"


def _source(teacher: Teacher) -> Parent:
    """What labels come from: the model's artifact or address, or the teacher itself where it is elsewhere."""
    name, revision, digest = teacher.version
    if teacher.spec.model is None:
        return Parent(role="teacher", uri=name, digest=digest, revision=revision)
    uri = teacher.spec.model.model.uri
    commit = revision if uri.startswith("hf://") else ""
    return Parent(role="teacher", uri=uri, digest=teacher.identity.source_digest, revision=commit)


def _label_row(id_: str, value: Labelled | W2SError) -> LabelRow:
    if isinstance(value, W2SError):
        return LabelRow(id_, error=value.message)
    return LabelRow(id_, value.logits, value.probabilities, value.disagreement)
