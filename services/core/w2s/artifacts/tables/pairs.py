"""Pairs of answers to a prompt, with which of the two is preferred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.schemas import PAIRS_SCHEMA
from w2s.artifacts.store import ArtifactStore
from w2s.artifacts.tables.reading import read_table, read_verified
from w2s.artifacts.tables.slices import SLICE, sliced_table, slices_of

_PAIRS = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.string()),
        ("first", pa.string()),
        ("second", pa.string()),
        ("label", pa.int32()),
        SLICE,
    ]
)
_LABEL_NAMES = ("first", "second")


@dataclass(frozen=True)
class PairDataset:
    """Pairs of answers with ground truth.

    Attributes:
        ref: Where it was read from.
        ids: Distinct ids, length N.
        prompts: What is answered, length N.
        firsts: The first answers, length N.
        seconds: The second answers, length N.
        labels: The preferred answers, shape [N], int32: 0 is the first, 1 the second.
        label_names: The two classes, `first` and `second`.
        manifest: What made it.
        slices: As `Dataset.slices`.
    """

    ref: ArtifactRef
    ids: list[str]
    prompts: list[str]
    firsts: list[str]
    seconds: list[str]
    labels: NDArray[np.int32]
    label_names: list[str]
    manifest: Manifest
    slices: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def write_pairs(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes pair rows (id, prompt, first, second, label: 0 or 1, perhaps slice) into an artifact's folder."""
    pq.write_table(sliced_table(rows, _PAIRS), path / "pairs.parquet")


def read_pairs(store: ArtifactStore, ref: ArtifactRef, field: str = "dataset") -> PairDataset:
    """Reads and verifies pairs; errors as `read_dataset`."""
    artifact = read_verified(store, ref, PAIRS_SCHEMA, field)
    table = read_table(artifact, "pairs.parquet", field, _PAIRS)
    return PairDataset(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        prompts=table["prompt"].to_pylist(),
        firsts=table["first"].to_pylist(),
        seconds=table["second"].to_pylist(),
        labels=table["label"].to_numpy(),
        label_names=list(_LABEL_NAMES),
        manifest=artifact.manifest,
        slices=slices_of(table),
    )
