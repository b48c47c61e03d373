"""What a language model answered to prompts, and how the answers score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.schemas import ANSWERS_SCHEMA
from w2s.artifacts.store import ArtifactStore
from w2s.artifacts.tables.reading import list_matrix, read_table, read_verified
from w2s.errors import InvalidArgument

_BEGINNING = [("id", pa.string()), ("reference", pa.string()), ("samples", pa.list_(pa.string()))]
_END = [("correct", pa.bool_()), ("confidence", pa.float32())]
_SCORES = pa.list_(pa.float32())


@dataclass(frozen=True)
class Answers:
    """Answers to a dataset's prompts.

    Attributes:
        ids: Example ids, length N.
        references: The dataset's completions, length N.
        samples: The answers to each prompt, length N, K >= 1 each.
        scores: The score of each answer, shape [N, K], float32, by scorer, in the order they were asked for.
        correct: Whether the first answer is right, shape [N]; None where no scorer compares it with a reference.
        confidence: The share of answers that say the same as the first, shape [N], float32; None likewise.
        manifest: What made them.
    """

    ref: ArtifactRef
    ids: list[str]
    references: list[str]
    samples: list[list[str]]
    scores: dict[str, NDArray[np.float32]]
    correct: NDArray[np.bool_] | None
    confidence: NDArray[np.float32] | None
    manifest: Manifest

    def __len__(self) -> int:
        return len(self.ids)


def answers_table(
    ids: Sequence[str],
    references: Sequence[str],
    samples: Sequence[Sequence[str]],
    scores: Mapping[str, Sequence[Sequence[float]]],
    matches: tuple[Sequence[bool], Sequence[float]] | None = None,
) -> pa.Table:
    """Answers as a table.

    Args:
        ids: Distinct example ids, length N.
        references: The dataset's completions, length N.
        samples: The answers to each prompt, length N, as many each.
        scores: The score of each answer, shape [N, K], by scorer.
        matches: `Answers.correct` and `Answers.confidence`, length N each.
    """
    columns = [pa.array(ids, pa.string()), pa.array(references, pa.string()), pa.array(samples, _BEGINNING[2][1])]
    columns += [pa.array(values, _SCORES) for values in scores.values()]
    schema = [*_BEGINNING, *((name, _SCORES) for name in scores)]
    if matches is not None:
        schema += _END
        columns += [pa.array(values, kind) for values, (_, kind) in zip(matches, _END, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(schema))


def write_answers(path: Path, table: pa.Table) -> None:
    """Writes a table of `answers_table` into an artifact's folder."""
    pq.write_table(table.combine_chunks(), path / "answers.parquet")


def read_answers(store: ArtifactStore, ref: ArtifactRef, field: str = "predictions") -> Answers:
    """Reads and verifies answers; errors as `read_dataset`."""
    artifact = read_verified(store, ref, ANSWERS_SCHEMA, field)
    table = read_table(artifact, "answers.parquet", field)
    if missing := {name for name, _ in _BEGINNING} - set(table.column_names):
        raise InvalidArgument(f"{field}.uri", f"its answers.parquet has no {' and no '.join(sorted(missing))}")
    matched = table.schema.get_field_index(_END[0][0]) >= 0
    names = [column.name for column in table.schema if column.type.equals(_SCORES)]
    return Answers(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        references=table["reference"].to_pylist(),
        samples=table["samples"].to_pylist(),
        scores={name: list_matrix(table[name], field, "answers") for name in names},
        correct=table["correct"].to_numpy() if matched else None,
        confidence=table["confidence"].to_numpy() if matched else None,
        manifest=artifact.manifest,
    )
