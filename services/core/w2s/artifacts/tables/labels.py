"""Soft labels, and how they meet the examples that they are of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.schemas import LABELS_SCHEMA
from w2s.artifacts.store import ArtifactStore
from w2s.artifacts.tables.examples import Dataset
from w2s.artifacts.tables.pairs import PairDataset
from w2s.artifacts.tables.reading import read_table, read_verified
from w2s.errors import InvalidArgument

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
    artifact = read_verified(store, ref, LABELS_SCHEMA, field)
    table = read_table(artifact, "labels.parquet", field, LABELS_TABLE)
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


def align(labels: Labels, dataset: Dataset | PairDataset, field: str = "labels") -> NDArray[np.float32]:
    """The labels' probabilities in the dataset's order, shape [N, C].

    Raises:
        InvalidArgument: An example has no label, or the number of classes differs.
    """
    _check_classes(labels, dataset, field)
    rows = {id_: row for row, id_ in enumerate(labels.ids)}
    missing = [id_ for id_ in dataset.ids if id_ not in rows]
    if missing:
        raise InvalidArgument(
            field, f"{len(missing)} examples of the dataset have none, such as {_name(missing, labels)}"
        )
    return labels.probabilities[[rows[id_] for id_ in dataset.ids]]


def align_known(
    labels: Labels, dataset: Dataset | PairDataset, field: str = "labels"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The dataset's rows that have a label, and their labels' probabilities.

    Returns:
        The K rows, rising, shape [K], in [0, N), K >= 1; and the probabilities, shape [K, C].

    Raises:
        InvalidArgument: No example has a label, or the number of classes differs.
    """
    _check_classes(labels, dataset, field)
    rows = {id_: row for row, id_ in enumerate(labels.ids)}
    known = [(row, rows[id_]) for row, id_ in enumerate(dataset.ids) if id_ in rows]
    if not known:
        such = f", such as {_name(dataset.ids, labels)}" if dataset.ids else ""
        raise InvalidArgument(field, f"none of the dataset's {len(dataset)} examples has one{such}")
    own, theirs = zip(*known, strict=True)
    return np.array(own, np.int64), labels.probabilities[list(theirs)]


def _check_classes(labels: Labels, dataset: Dataset | PairDataset, field: str) -> None:
    if labels.ids and labels.probabilities.shape[1] != len(dataset.label_names):
        raise InvalidArgument(
            field, f"has {labels.probabilities.shape[1]} classes, the dataset {len(dataset.label_names)}"
        )


def _name(ids: list[str], labels: Labels) -> str:
    return f"{ids[0]} ({labels.failed[ids[0]]})" if ids[0] in labels.failed else ids[0]
