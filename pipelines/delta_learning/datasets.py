"""Pairs of teachers' answers."""

from __future__ import annotations

from pipelines.delta_learning.plan import REVERSED, SFT, TIED
from pipelines.keys import content_key
from pipelines.language import solution
from pipelines.steps.items import Json
from pipelines.steps.keep import keep
from pipelines.steps.select import solutions
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import PAIRS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, parent, read_completions, write_pairs


def arm_dataset(store: ArtifactStore, arm: str, chosen: Json, rejected: Json, tied: Json) -> Json:
    """What an arm is trained on.

    Returns:
        The `dataset`, missing where every answer is the same as its other; how many `rows` it has, and how many
        prompts were `dropped` because both answers are the same.
    """
    if arm == SFT:
        made = solutions(store, chosen)
        return {"dataset": made, "rows": len(_read(store, made)), "dropped": 0} if made else {"rows": 0, "dropped": 0}
    if arm == TIED:
        sources, firsts, seconds = _samples(_read(store, tied))
    else:
        first, second = _read(store, chosen), _read(store, rejected)
        if arm == REVERSED:
            first, second = second, first
        sources, firsts, seconds = [first, second], first.completions, second.completions
    asked = _read(store, chosen)
    rows = [
        {"id": id_, "prompt": prompt, "first": solution(a), "second": solution(b), "label": 0}
        for id_, prompt, a, b in zip(asked.ids, asked.prompts, firsts, seconds, strict=True)
        if solution(a) != solution(b)
    ]
    counted = {"rows": len(rows), "dropped": len(asked) - len(rows)}
    if not rows:
        return counted
    key = content_key("delta/pairs", arm, *(source.ref.digest for source in sources))
    parents = [parent(role, source) for role, source in zip(("chosen", "rejected"), sources, strict=False)]
    reference = keep(store, key, PAIRS_SCHEMA, parents, lambda path: write_pairs(path, rows), config={"arm": arm})
    return {**counted, "dataset": reference}


def _samples(found: CompletionDataset) -> tuple[list[CompletionDataset], list[str], list[str]]:
    """Two samples of each prompt, which are rows `id#0` and `id#1` after one another."""
    return [found], found.completions[0::2], found.completions[1::2]


def _read(store: ArtifactStore, reference: Json) -> CompletionDataset:
    return read_completions(store, ArtifactRef(**reference))
