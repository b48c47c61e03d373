"""Takes part of a dataset."""

from __future__ import annotations

from pipelines.keys import content_key
from pipelines.steps.items import Json
from pipelines.steps.keep import keep_dataset
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import parent, read_completions, write_completions
from w2s.errors import FailedPrecondition


def select(store: ArtifactStore, ref: ArtifactRef, slice_: str) -> Json:
    """The completions of one slice, as a dataset of their own.

    Args:
        store: Where they are.
        ref: Completions that people wrote.
        slice_: The slice that is kept.

    Returns:
        The new dataset's reference.

    Raises:
        FailedPrecondition: No row is in that slice.
    """
    found = read_completions(store, ref)
    rows = [
        {"id": id_, "prompt": prompt, "completion": completion, "slice": own}
        for id_, prompt, completion, own in zip(
            found.ids, found.prompts, found.completions, found.slices or [None] * len(found), strict=True
        )
        if own == slice_
    ]
    if not rows:
        raise FailedPrecondition(f"none of {len(found)} rows is in the slice {slice_}; ask for more rows")
    return keep_dataset(
        store,
        content_key("select", found.ref.digest, slice_),
        COMPLETIONS_SCHEMA,
        [parent("dataset", found)],
        lambda path: write_completions(path, rows),
        config={"slice": slice_},
    )
