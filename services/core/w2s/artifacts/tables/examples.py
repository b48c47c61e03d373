"""Examples to classify, with ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.parquet import check_size
from w2s.artifacts.schemas import EXAMPLES_SCHEMA, label_names
from w2s.artifacts.store import Artifact, ArtifactStore
from w2s.artifacts.tables.reading import read_table, read_verified, readable
from w2s.artifacts.tables.slices import SLICE, sliced_table, slices_of

_EXAMPLES = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("text_pair", pa.string()), ("label", pa.int32()), SLICE]
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
        slices: The slice that each is in, None for none, length N; None where no row has one.
    """

    ref: ArtifactRef
    ids: list[str]
    texts: list[str]
    pairs: list[str] | None
    labels: NDArray[np.int32]
    label_names: list[str]
    manifest: Manifest
    slices: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def write_examples(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes example rows (id, text, text_pair or None, label, perhaps slice) into an artifact's folder."""
    pq.write_table(sliced_table(rows, _EXAMPLES), path / "examples.parquet")


def read_dataset(store: ArtifactStore, ref: ArtifactRef, field: str = "dataset") -> Dataset:
    """Reads and verifies a dataset.

    Raises:
        InvalidArgument: The artifact is no dataset, or one that is too large, or does not name its classes.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    artifact = read_verified(store, ref, EXAMPLES_SCHEMA, field)
    table = read_table(artifact, "examples.parquet", field, _EXAMPLES)
    pairs = table["text_pair"]
    return Dataset(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        texts=table["text"].to_pylist(),
        pairs=None if pairs.null_count == len(pairs) else pairs.to_pylist(),
        labels=table["label"].to_numpy(),
        label_names=label_names(artifact.manifest, field),
        manifest=artifact.manifest,
        slices=slices_of(table),
    )


def iterate_examples(artifact: Artifact, rows: int) -> Iterator[list[tuple[str, str, str]]]:
    """The examples of a dataset that was read, without holding them all.

    Args:
        artifact: The dataset.
        rows: Examples a list at most, >= 1; how they are cut depends on the file and this alone.

    Yields:
        Lists of (id, text, text_pair), text_pair empty for a single text.

    Raises:
        InvalidArgument: It has no such table, or one that is too large.
    """
    path, columns = artifact.path / "examples.parquet", ["id", "text", "text_pair"]
    with readable(path.name, "dataset"):
        check_size(path, columns)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows, columns=columns):
                ids, texts, pairs = (batch.column(name).to_pylist() for name in columns)
                yield [(id_, text, pair or "") for id_, text, pair in zip(ids, texts, pairs, strict=True)]
