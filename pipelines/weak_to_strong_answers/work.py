"""What such an experiment does, as items for its steps: pure functions of the plan and of what was made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.language import exam, fit, greedy
from pipelines.methods import BOOTSTRAPPING
from pipelines.plans import Model
from pipelines.steps.items import Json, as_json, training_item
from pipelines.steps.teach import teacher_id, teacher_spec
from pipelines.weak_to_strong_answers.plan import CEILING, WEAK, Plan


def list_truths(plan: Plan, datasets: Json) -> list[Json]:
    """What is trained on ground truth: weak models, and ceilings on the questions that students get."""
    gaps = plan.models.gaps
    return [
        training_item(
            item=f"{role}:{model.tag}:{seed}",
            title=plan.data.task,
            of={"role": role, "place": places.index(model), "seed": seed},
            run=fit(model, plan.train, seed, datasets[str(seed)][split]),
            evaluation=exam(plan.data.task, plan.write, datasets[str(seed)]["test"]),
            nonce=plan.nonce,
        )
        for seed in plan.seeds
        for role, places, used, split in (
            (WEAK, plan.models.weak, [weak for weak, _ in gaps], "weak_train"),
            (CEILING, plan.models.strong, [strong for _, strong in gaps], "transfer"),
        )
        for model in dict.fromkeys(used)
    ]


def list_writers(plan: Plan, datasets: Json, truths: list[Json]) -> list[Json]:
    """Whose answers are learned: each weak model of each seed, on the transfer split."""
    return [
        {
            "item": f"answers:{plan.models.weak[int(truth['of']['place'])].tag}:{int(truth['of']['seed'])}",
            "of": {"weak": int(truth["of"]["place"]), "seed": int(truth["of"]["seed"])},
            **_asking(plan, datasets, int(truth["of"]["seed"])),
            **writer(f"{plan.data.task}-{WEAK}", int(truth["of"]["seed"]), truth["run"]["model"]),
        }
        for truth in truths
        if truth["of"]["role"] == WEAK
    ]


def list_students(plan: Plan, datasets: Json, written: list[Json]) -> list[Json]:
    """The students: every method, gap and seed."""
    return [
        _student(
            plan, datasets, method, gap, seed, answers_of(written, plan.models.weak.index(gap[0]), seed)["answers"]
        )
        for method in plan.methods
        for gap in plan.models.gaps
        for seed in plan.seeds
    ]


def writer(title: str, seed: int, model: Json) -> Json:
    """A model that was trained, as who answers."""
    return {
        "teacher": teacher_spec(model, "language_model"),
        "teacher_id": teacher_id(title, seed, model["digest"]),
    }


def answers_of(written: Iterable[Json], weak: int, seed: int) -> Any:
    """What a weak model of a seed wrote."""
    return next(w for w in written if (int(w["of"]["weak"]), int(w["of"]["seed"])) == (weak, seed))


def _student(plan: Plan, datasets: Json, method: str, gap: tuple[Model, Model], seed: int, answers: Json) -> Json:
    weak, strong = gap
    item = training_item(
        item=f"{method}:{weak.tag}>{strong.tag}:{seed}",
        title=plan.data.task,
        of={
            "method": method,
            "weak": plan.models.weak.index(weak),
            "strong": plan.models.strong.index(strong),
            "seed": seed,
        },
        run=fit(strong, plan.train, seed, answers),
        evaluation=exam(plan.data.task, plan.write, datasets[str(seed)]["test"]),
        nonce=plan.nonce,
        may_fail=True,
    )
    between = plan.method.bootstrapping_models if method == BOOTSTRAPPING else []
    # The dataset of each hop is put in once the model before has written it.
    hops = [as_json(fit(model, plan.train, seed, answers)) for model in between]
    return item | _asking(plan, datasets, seed) | {"answers": answers, "hops": hops}


def _asking(plan: Plan, datasets: Json, seed: int) -> Json:
    return {"transfer": datasets[str(seed)]["transfer"], "generation": greedy(plan.write), "nonce": plan.nonce}
