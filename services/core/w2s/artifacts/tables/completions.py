"""Completions of prompts, written by people or by a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.store import ArtifactStore
from w2s.artifacts.tables.reading import read_table, read_verified
from w2s.artifacts.tables.slices import SLICE, sliced_table, slices_of

_TEACHER = ("teacher", "teacher_revision", "teacher_digest")
_COMPLETIONS = pa.schema([*((name, pa.string()) for name in ("id", "prompt", "completion", *_TEACHER)), SLICE])


@dataclass(frozen=True)
class CompletionDataset:
    """Prompts with the completions to learn.

    Attributes:
        ref: Where it was read from.
        ids: Distinct ids, length N.
        prompts: What is completed, length N.
        completions: What follows each prompt, length N.
        teachers: Distinct (teacher, revision, digest) triples among the rows, sorted; empty for ground truth.
        manifest: What made it.
        slices: As `Dataset.slices`.
    """

    ref: ArtifactRef
    ids: list[str]
    prompts: list[str]
    completions: list[str]
    teachers: list[tuple[str, str, str]]
    manifest: Manifest
    slices: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def write_completions(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes completion rows into an artifact's folder.

    Args:
        path: The folder.
        rows: Rows of id, prompt and completion; what a teacher wrote has teacher,
            teacher_revision and teacher_digest too; each may have a slice.
    """
    pq.write_table(sliced_table(rows, _COMPLETIONS), path / "completions.parquet")


def read_completions(store: ArtifactStore, ref: ArtifactRef, field: str = "dataset") -> CompletionDataset:
    """Reads and verifies completions; errors as `read_dataset`."""
    artifact = read_verified(store, ref, COMPLETIONS_SCHEMA, field)
    table = read_table(artifact, "completions.parquet", field, _COMPLETIONS)
    taught = table.filter(pc.field("teacher").is_valid())
    return CompletionDataset(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        prompts=table["prompt"].to_pylist(),
        completions=table["completion"].to_pylist(),
        teachers=sorted(set(zip(*(taught[name].to_pylist() for name in _TEACHER), strict=True))),
        manifest=artifact.manifest,
        slices=slices_of(table),
    )
