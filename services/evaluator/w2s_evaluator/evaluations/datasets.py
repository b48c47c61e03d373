"""What can be evaluated on: the three kinds of datasets, and what each must hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from w2s.artifacts import ArtifactRef, ArtifactStore, Manifest
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, PAIRS_SCHEMA, label_names
from w2s.artifacts.tables import (
    CompletionDataset,
    Dataset,
    PairDataset,
    read_completions,
    read_dataset,
    read_pairs,
    read_table,
)
from w2s.errors import InvalidArgument

AnyDataset = Dataset | PairDataset | CompletionDataset

FIELD = "evaluation.spec.dataset"
MAX_ROWS = 1_000_000
MAX_SLICES = 64
_PAIR = 2


@dataclass(frozen=True)
class Kind:
    """One kind of dataset.

    Attributes:
        file: The name of its table.
        columns: Those in which every row has a value.
        read: Reads all of it.
    """

    file: str
    columns: tuple[str, ...]
    read: Callable[[ArtifactStore, ArtifactRef, str], AnyDataset]


KINDS = {
    EXAMPLES_SCHEMA: Kind("examples.parquet", ("id", "text", "label"), read_dataset),
    PAIRS_SCHEMA: Kind("pairs.parquet", ("id", "prompt", "first", "second", "label"), read_pairs),
    COMPLETIONS_SCHEMA: Kind("completions.parquet", ("id", "prompt", "completion"), read_completions),
}


def check_rows(store: ArtifactStore, ref: ArtifactRef, samples: int = 1) -> None:
    """Checks that each row of a dataset can be evaluated.

    Args:
        store: Where it is.
        ref: The dataset, known to be of one of the kinds.
        samples: Answers to each row.

    Raises:
        InvalidArgument: There is no row, or there are too many, or one lacks a value, has an
            id that another has, or a label that is no class; or there are too many slices.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    artifact = store.read(ref.uri, ref.digest, f"{FIELD}.uri")
    kind = KINDS[artifact.manifest.data_schema]
    table = read_table(artifact, kind.file, FIELD)
    if not 0 < len(table) * samples <= MAX_ROWS:
        raise _refused(
            f"has {len(table):,} rows of {samples} answers each; from 1 to {MAX_ROWS:,} answers are evaluated"
        )
    for name in kind.columns:
        if name not in table.column_names or table[name].null_count:
            raise _refused(f"has rows without {name}; give each one")
    _check_ids(table["id"])
    if "label" in kind.columns:
        _check_labels(table["label"], artifact.manifest)
    slices = pc.count_distinct(table["slice"]).as_py() if "slice" in table.column_names else 0
    if slices > MAX_SLICES:
        raise _refused(f"has {slices} slices; at most {MAX_SLICES} are reported")


def _check_ids(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() < len(ids):
        (again, times), *_ = Counter(ids.to_pylist()).most_common(1)
        raise _refused(f"has the id {again} {times} times; ids must be distinct")


def _check_labels(labels: pa.ChunkedArray, manifest: Manifest) -> None:
    classes = len(label_names(manifest, FIELD)) if manifest.data_schema == EXAMPLES_SCHEMA else _PAIR
    ends = pc.min_max(labels).as_py()
    if ends["min"] < 0 or ends["max"] >= classes:
        raise _refused(f"has labels in [{ends['min']}, {ends['max']}]; its {classes} classes are [0, {classes - 1}]")


def _refused(problem: str) -> InvalidArgument:
    return InvalidArgument(f"{FIELD}.uri", problem)
