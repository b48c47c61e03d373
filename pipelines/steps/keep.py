"""What a step makes itself: made once, whoever asks and however often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.steps.items import Json
from w2s.artifacts import ArtifactStore
from w2s.artifacts.manifest import Kind, Parent


def keep(
    store: ArtifactStore,
    key: str,
    schema: str,
    parents: Sequence[Parent],
    write: Callable[[Path], object],
    *,
    config: Json,
    seed: int | None = None,
    kind: Kind = "datasets",
) -> Json:
    """The artifact of a content key, made if it is not there.

    Args:
        store: Where it is.
        key: Names all that decides its content; see `pipelines.keys.content_key`.
        schema: What it holds, such as `COMPLETIONS_SCHEMA`.
        parents: What it was made from.
        write: Writes its files into a folder.
        config: What it was made with, for its manifest.
        seed: What was drawn at random was drawn with it.
        kind: What it is kept as.

    Returns:
        Its reference: uri and digest.
    """
    found = store.find(kind, key)
    if found is None:
        with store.write(kind, key, data_schema=schema, config=config, seed=seed, parents=list(parents)) as draft:
            write(draft.path)
        found = draft.ref
        assert found is not None
    reference: Json = found.model_dump()
    return reference
