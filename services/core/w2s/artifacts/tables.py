"""The Parquet tables of the store: examples, labels and predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef, Manifest, Parent
from w2s.artifacts.schemas import EXAMPLES_SCHEMA, LABELS_SCHEMA, PREDICTIONS_SCHEMA, check_schema
from w2s.artifacts.store import Artifact, ArtifactStore
from w2s.errors import InvalidArgument

_EXAMPLES = pa.schema([("id", pa.string()), ("text", pa.string()), ("text_pair", pa.string()), ("label", pa.int32())])
LABELS_TABLE = pa.schema(
    [
        ("id", pa.string()),
        ("logits", pa.list_(pa.float32())),
        ("probabilities", pa.list_(pa.float32())),
        ("label", pa.int32()),
        ("confidence", pa.float32()),
        ("disagreement", pa.float32()),
        ("teacher", pa.string()),
        ("teacher_revision", pa.string()),
        ("teacher_digest", pa.string()),
        ("error", pa.string()),
    ]
)
_PREDICTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int32()),
        ("logits", pa.list_(pa.float32())),
        ("prediction", pa.int32()),
        ("correct", pa.bool_()),
        ("confidence", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Dataset:
    """Examples with ground truth.

    Attributes:
        ref: Where it was read from.
        ids: Distinct example ids, length N.
        texts: First texts, length N.
        pairs: Second texts, length N; None for a single-text task.
        labels: True classes, shape [N], int32, in [0, C).
        label_names: The C classes.
        manifest: What made it.
    """

    ref: ArtifactRef
    ids: list[str]
    texts: list[str]
    pairs: list[str] | None
    labels: NDArray[np.int32]
    label_names: list[str]
    manifest: Manifest

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Labels:
    """Soft labels of a dataset, each with the teacher that made it.

    Attributes:
        ids: Ids of the examples that have a label, length N.
        probabilities: Shape [N, C], float32, rows summing to 1.
        teachers: Distinct (teacher, revision, digest) triples among the rows.
        failed: Why the others have none, by example id.
    """

    ref: ArtifactRef
    ids: list[str]
    probabilities: NDArray[np.float32]
    teachers: list[tuple[str, str, str]]
    failed: dict[str, str]
    manifest: Manifest


@dataclass(frozen=True)
class LabelRow:
    """One row of a labels artifact.

    Attributes:
        id: The example's id.
        logits: Shape [C], float32; log-probabilities where only those are known. None without a label.
        probabilities: Shape [C], float32. None without a label.
        disagreement: The share of an ensemble that votes for another class; None for other teachers.
        error: Why there is no label; None where there is one.
    """

    id: str
    logits: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None
    disagreement: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Predictions:
    """Predictions on a dataset.

    Attributes:
        ids: Example ids, length N.
        labels: True classes, shape [N], int32.
        predictions: Predicted classes, shape [N], int32.
    """

    ref: ArtifactRef
    ids: list[str]
    labels: NDArray[np.int32]
    predictions: NDArray[np.int32]
    manifest: Manifest


def write_examples(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes example rows (id, text, text_pair or None, label) into an artifact's folder."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=_EXAMPLES), path / "examples.parquet")


def read_dataset(store: ArtifactStore, ref: ArtifactRef, field: str = "dataset") -> Dataset:
    """Reads and verifies a dataset.

    Raises:
        InvalidArgument: The artifact is no dataset.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    artifact = _read(store, ref, EXAMPLES_SCHEMA, field)
    table = pq.read_table(artifact.path / "examples.parquet", schema=_EXAMPLES)
    pairs = table["text_pair"]
    return Dataset(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        texts=table["text"].to_pylist(),
        pairs=None if pairs.null_count == len(pairs) else pairs.to_pylist(),
        labels=table["label"].to_numpy(),
        label_names=list(artifact.manifest.config["label_names"]),
        manifest=artifact.manifest,
    )


def iterate_examples(artifact: Artifact, rows: int) -> Iterator[list[tuple[str, str, str]]]:
    """The examples of a dataset that was read, without holding them all.

    Args:
        artifact: The dataset.
        rows: Examples a list at most, >= 1; how they are cut depends on the file and this alone.

    Yields:
        Lists of (id, text, text_pair), text_pair empty for a single text.
    """
    with pq.ParquetFile(artifact.path / "examples.parquet") as file:
        for batch in file.iter_batches(rows, columns=["id", "text", "text_pair"]):
            ids, texts, pairs = (batch.column(index).to_pylist() for index in range(3))
            yield [(id_, text, pair or "") for id_, text, pair in zip(ids, texts, pairs, strict=True)]


def labels_table(rows: Sequence[LabelRow], teacher: tuple[str, str, str]) -> pa.Table:
    """One teacher's labels as a table.

    Args:
        rows: The labels.
        teacher: Its name, revision and digest, written into every row.
    """
    probabilities = [row.probabilities for row in rows]
    n = len(rows)
    columns = [
        pa.array([row.id for row in rows], pa.string()),
        pa.array([row.logits for row in rows], pa.list_(pa.float32())),
        pa.array(probabilities, pa.list_(pa.float32())),
        pa.array([None if p is None else int(p.argmax()) for p in probabilities], pa.int32()),
        pa.array([None if p is None else float(p.max()) for p in probabilities], pa.float32()),
        pa.array([row.disagreement for row in rows], pa.float32()),
        *(pa.array([value] * n, pa.string()) for value in teacher),
        pa.array([row.error for row in rows], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=LABELS_TABLE)


def write_labels(path: Path, chunks: Iterable[pa.Table]) -> None:
    """Writes tables of `labels_table` one after another into an artifact's folder, a row group each."""
    with pq.ParquetWriter(path / "labels.parquet", LABELS_TABLE) as writer:
        for chunk in chunks:
            writer.write_table(chunk, row_group_size=max(len(chunk), 1))


def read_labels(store: ArtifactStore, ref: ArtifactRef, field: str = "labels") -> Labels:
    """Reads and verifies labels; errors as `read_dataset`."""
    artifact = _read(store, ref, LABELS_SCHEMA, field)
    table = pq.read_table(artifact.path / "labels.parquet", schema=LABELS_TABLE)
    names = ("teacher", "teacher_revision", "teacher_digest")
    good = table.filter(pc.field("error").is_null())
    bad = table.filter(pc.field("error").is_valid())
    return Labels(
        ref=artifact.ref,
        ids=good["id"].to_pylist(),
        probabilities=np.array(good["probabilities"].to_pylist(), dtype=np.float32),
        teachers=sorted(set(zip(*(table[name].to_pylist() for name in names), strict=True))),
        failed=dict(zip(bad["id"].to_pylist(), bad["error"].to_pylist(), strict=True)),
        manifest=artifact.manifest,
    )


def write_predictions(path: Path, dataset: Dataset, logits: NDArray[np.float32]) -> None:
    """Writes predictions into an artifact's folder.

    Args:
        path: The folder.
        dataset: What was predicted, N examples.
        logits: Shape [N, C]; log-probabilities where only those are known.
    """
    prediction = logits.argmax(axis=1).astype(np.int32)
    columns = [
        pa.array(dataset.ids, pa.string()),
        pa.array(dataset.labels, pa.int32()),
        _matrix(logits),
        pa.array(prediction, pa.int32()),
        pa.array(prediction == dataset.labels, pa.bool_()),
        pa.array(softmax(logits).max(axis=1), pa.float32()),
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=_PREDICTIONS), path / "predictions.parquet")


def read_predictions(store: ArtifactStore, ref: ArtifactRef, field: str = "predictions") -> Predictions:
    """Reads and verifies predictions; errors as `read_dataset`."""
    artifact = _read(store, ref, PREDICTIONS_SCHEMA, field)
    table = pq.read_table(artifact.path / "predictions.parquet", schema=_PREDICTIONS)
    return Predictions(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        labels=table["label"].to_numpy(),
        predictions=table["prediction"].to_numpy(),
        manifest=artifact.manifest,
    )


def align(labels: Labels, dataset: Dataset, field: str = "labels") -> NDArray[np.float32]:
    """The labels' probabilities in the dataset's order, shape [N, C].

    Raises:
        InvalidArgument: An example has no label, or the number of classes differs.
    """
    if labels.ids and labels.probabilities.shape[1] != len(dataset.label_names):
        raise InvalidArgument(
            field, f"has {labels.probabilities.shape[1]} classes, the dataset {len(dataset.label_names)}"
        )
    rows = {id_: row for row, id_ in enumerate(labels.ids)}
    missing = [id_ for id_ in dataset.ids if id_ not in rows]
    if missing:
        why = f" ({labels.failed[missing[0]]})" if missing[0] in labels.failed else ""
        raise InvalidArgument(field, f"{len(missing)} examples of the dataset have none, such as {missing[0]}{why}")
    return labels.probabilities[[rows[id_] for id_ in dataset.ids]]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row-wise softmax, shape [N, C], float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def parent(role: str, artifact: Dataset | Labels | Predictions) -> Parent:
    """An artifact as a parent of another."""
    return Parent(role=role, uri=artifact.ref.uri, digest=artifact.ref.digest)


def _matrix(values: NDArray[np.float32]) -> pa.ListArray:
    rows, columns = values.shape
    offsets = pa.array(np.arange(0, rows * columns + 1, columns), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(np.ravel(values), pa.float32()))


def _read(store: ArtifactStore, ref: ArtifactRef, schema: str, field: str) -> Artifact:
    artifact = store.read(ref.uri, ref.digest, f"{field}.uri")
    check_schema(artifact.manifest, schema, field)
    return artifact
