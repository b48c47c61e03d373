"""The conflicting objective's pairs, which an implicit conflict mixes in."""

from __future__ import annotations

from typing import Any

from pipelines.keys import content_key
from pipelines.steps.items import Json
from pipelines.steps.keep import keep
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import PAIRS_SCHEMA
from w2s.artifacts.tables import PairDataset, parent, read_pairs, write_pairs


def apart_from_test(store: ArtifactStore, mixed: Json, datasets: Json) -> Json:
    """Splits without the prompts that the target's test split has: the two objectives may come of one source.

    Args:
        store: Where they are.
        mixed: The conflict's splits, by seed.
        datasets: The target's.

    Returns:
        The conflict's `weak_train` and `transfer` by seed; those that share no prompt as they are.
    """
    found: Json = {}
    for seed, splits in mixed.items():
        test = read_pairs(store, ArtifactRef(**datasets[seed]["test"]))
        taken = {_normal(prompt) for prompt in test.prompts}
        found[seed] = {
            name: _without(store, read_pairs(store, ArtifactRef(**splits[name])), taken, test)
            for name in ("weak_train", "transfer")
        }
    return found


def _without(store: ArtifactStore, pairs: PairDataset, taken: set[str], test: PairDataset) -> Json:
    rows = [row for row, prompt in enumerate(pairs.prompts) if _normal(prompt) not in taken]
    if len(rows) == len(pairs):
        reference: Json = pairs.ref.model_dump()
        return reference
    return keep(
        store,
        content_key("apart", pairs.ref.digest, test.ref.digest),
        PAIRS_SCHEMA,
        [parent("dataset", pairs), parent("test", test)],
        lambda path: write_pairs(path, [_row(pairs, row) for row in rows]),
        config={"label_names": pairs.label_names, "left_out": len(pairs) - len(rows)},
    )


def _row(pairs: PairDataset, row: int) -> dict[str, Any]:
    return {
        "id": pairs.ids[row],
        "prompt": pairs.prompts[row],
        "first": pairs.firsts[row],
        "second": pairs.seconds[row],
        "label": int(pairs.labels[row]),
        "slice": pairs.slices[row] if pairs.slices else None,
    }


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
