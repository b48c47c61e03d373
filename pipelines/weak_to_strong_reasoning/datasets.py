"""The datasets that the experiment makes itself: questions without answers, what both agree on, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.keys import content_key
from pipelines.language import solution
from pipelines.steps.items import Json
from pipelines.steps.keep import keep
from pipelines.weak_to_strong_reasoning.plan import FULL_WEAK, HYBRID, ICL_ONLY, WEAK_ONLY, Preference
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, parent, read_completions, write_completions, write_pairs
from w2s.errors import FailedPrecondition
from w2s.reasoning.contrast import contrast
from w2s.reasoning.selection import agreeing

_SALT = "42"
_IN_CONTEXT = "#icl"


def read(store: ArtifactStore, reference: Json) -> CompletionDataset:
    """Completions by their reference."""
    return read_completions(store, ArtifactRef(**reference))


def in_context(store: ArtifactStore, asked: Json, demos: Json) -> Json:
    """Each question after solved ones, blank lines between; what an evaluator marks by stays beside it."""
    found, solved = read(store, asked), read(store, demos)
    shown = "".join(
        f"{prompt}{completion.rstrip()}\n\n"
        for prompt, completion in zip(solved.prompts, solved.completions, strict=True)
    )
    rows = [
        _row(id_, shown + prompt, completion)
        for id_, prompt, completion in zip(found.ids, found.prompts, found.completions, strict=True)
    ]
    return _kept(store, "in-context", rows, [found, solved], {"shots": len(solved)})


def select(store: ArtifactStore, asked: Json, weak: Json, other: Json) -> Json:
    """What two sources wrote on the same questions, cut to those that they answer alike.

    Returns:
        Datasets by arm, the `agreed` ids, and how many questions there are. Those that would be empty are missing.
    """
    found, first, second = read(store, asked), read(store, weak), read(store, other)
    if not found.ids == first.ids == second.ids:
        raise FailedPrecondition("both sources must have answered the same questions in the same order")
    kept = agreeing(first.completions, second.completions)
    of_weak = [_row(found.ids[i], found.prompts[i], solution(first.completions[i])) for i in kept]
    of_other = [_row(found.ids[i] + _IN_CONTEXT, found.prompts[i], solution(second.completions[i])) for i in kept]
    everything = [
        _row(id_, prompt, solution(text))
        for id_, prompt, text in zip(found.ids, found.prompts, first.completions, strict=True)
        if text.strip()
    ]
    hybrid = [row for pair in zip(of_weak, of_other, strict=True) for row in pair]
    arms = {FULL_WEAK: everything, WEAK_ONLY: of_weak, ICL_ONLY: of_other, HYBRID: hybrid}
    made = {
        arm: _kept(store, f"select/{arm}", rows, [found, first, second], {"arm": arm})
        for arm, rows in arms.items()
        if rows
    }
    return {"datasets": made, "agreed": [found.ids[i] for i in kept], "questions": len(found)}


def pairs(store: ArtifactStore, weak: Json, samples: Json, settings: Preference) -> Json:
    """Contrastive pairs from samples, which are rows `id#0`, `id#1`, ... of each question, and weak solutions.

    Returns:
        The `dataset` of pairs, or none where there is no pair; their number, and of how many questions they are.
    """
    found, drawn = read(store, weak), read(store, samples)
    by_question: dict[str, list[str]] = {}
    for id_, text in zip(drawn.ids, drawn.completions, strict=True):
        by_question.setdefault(id_.rpartition("#")[0], []).append(solution(text))
    rows: list[Json] = []
    for id_, prompt, text in zip(found.ids, found.prompts, found.completions, strict=True):
        made = contrast(
            solution(text),
            by_question[id_],
            salt=_SALT,
            key=id_,
            trust=settings.trust,
            overrule=settings.overrule,
            limit=settings.pairs,
        )
        rows += [
            {"id": f"{id_}#{n}", "prompt": prompt, "first": chosen, "second": rejected, "label": 0}
            for n, (chosen, rejected) in enumerate(made)
        ]
    counted = {"pairs": len(rows), "questions": len({row["id"].rpartition("#")[0] for row in rows})}
    if not rows:
        return counted
    key = content_key("reasoning/pairs", found.ref.digest, drawn.ref.digest, settings.model_dump())
    parents = [parent("weak", found), parent("samples", drawn)]
    config = settings.model_dump(include={"trust", "overrule", "pairs"})
    reference = keep(store, key, PAIRS_SCHEMA, parents, lambda path: write_pairs(path, rows), config=config)
    return {**counted, "dataset": reference}


def _kept(
    store: ArtifactStore, what: str, rows: list[Json], made_from: Sequence[CompletionDataset], config: dict[str, Any]
) -> Json:
    key = content_key(f"reasoning/{what}", *(dataset.ref.digest for dataset in made_from), config)
    parents = [parent(f"source{n}", dataset) for n, dataset in enumerate(made_from)]
    return keep(store, key, COMPLETIONS_SCHEMA, parents, lambda path: write_completions(path, rows), config=config)


def _row(id_: str, prompt: str, completion: str) -> Json:
    return {"id": id_, "prompt": prompt, "completion": completion}
