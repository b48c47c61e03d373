"""Takes part of a dataset of completions, or cleans it."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.keys import content_key
from pipelines.language import solution
from pipelines.steps.items import Json
from pipelines.steps.keep import keep
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, parent, read_completions, write_completions
from w2s.errors import FailedPrecondition


def select(store: ArtifactStore, ref: ArtifactRef, slice_: str) -> Json:
    """The completions of one slice, as a dataset of their own.

    Args:
        store: Where they are.
        ref: The completions.
        slice_: The slice that is kept.

    Returns:
        The new dataset's reference.

    Raises:
        FailedPrecondition: No row is in that slice.
    """
    found = read_completions(store, ref)
    rows = _rows(found, lambda row: row["slice"] == slice_)
    if not rows:
        raise FailedPrecondition(f"none of {len(found)} rows is in the slice {slice_}; ask for more rows")
    return _kept(store, found, rows, {"slice": slice_})


def answered(store: ArtifactStore, ref: ArtifactRef) -> tuple[Json, int]:
    """The completions that are not empty: there is nothing to learn from one that a teacher ended at once.

    Returns:
        The new dataset's reference, and how many are left out. Where all are empty they are left as they are, so that
        who learns from them fails.
    """
    found = read_completions(store, ref)
    rows = _rows(found, lambda row: bool(row["completion"]))
    if not rows or len(rows) == len(found):
        return ref.model_dump(), len(found) - len(rows)
    return _kept(store, found, rows, {"empty": False}), len(found) - len(rows)


def questions(store: ArtifactStore, solved: Json, first: int = 0) -> Json:
    """The prompts of a dataset, without the ground truth beside them; the first ones alone where that is asked."""
    found = read_completions(store, ArtifactRef(**solved))
    count = first or len(found)
    pairs = zip(found.ids[:count], found.prompts[:count], strict=True)
    rows: list[Json] = [{"id": id_, "prompt": prompt, "completion": ""} for id_, prompt in pairs]
    return _kept(store, found, rows, {"questions": first})


def solutions(store: ArtifactStore, written: Json) -> Json:
    """What a teacher wrote as it is learned, without what says nothing; empty where nothing is left."""
    found = read_completions(store, ArtifactRef(**written))
    rows: list[Json] = [
        {"id": id_, "prompt": prompt, "completion": solution(text)}
        for id_, prompt, text in zip(found.ids, found.prompts, found.completions, strict=True)
        if solution(text).strip()
    ]
    return _kept(store, found, rows, {"solutions": True}) if rows else {}


def _rows(found: CompletionDataset, keep: Callable[[Json], bool]) -> list[Json]:
    # Of several teachers it is not said who wrote what.
    by = (
        zip(("teacher", "teacher_revision", "teacher_digest"), found.teachers[0], strict=True) if found.teachers else ()
    )
    teacher = dict(by) if len(found.teachers) == 1 else {}
    columns = (found.ids, found.prompts, found.completions, found.slices or [None] * len(found))
    rows = [
        {"id": id_, "prompt": prompt, "completion": completion, "slice": slice_, **teacher}
        for id_, prompt, completion, slice_ in zip(*columns, strict=True)
    ]
    return [row for row in rows if keep(row)]


def _kept(store: ArtifactStore, found: CompletionDataset, rows: list[Json], config: Json) -> Json:
    return keep(
        store,
        content_key("select", found.ref.digest, config),
        COMPLETIONS_SCHEMA,
        [parent("dataset", found)],
        lambda path: write_completions(path, rows),
        config=config,
    )
