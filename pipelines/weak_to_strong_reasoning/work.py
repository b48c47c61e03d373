"""What a reasoning experiment does, as items for its steps: pure functions of the plan and of what was made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.language import drawn, exam, fit, greedy
from pipelines.steps.guard import SUCCEEDED
from pipelines.steps.items import Json, as_json, training_item
from pipelines.steps.teach import teacher_id, teacher_spec
from pipelines.weak_to_strong_reasoning.plan import CEILING, DPO, HYBRID, ICL_ONLY, WEAK, WEAK_ONLY, Plan
from w2s.trainer.v1 import trainer_pb2

NOTHING_AGREED = "no question was answered alike by both"
NO_PAIRS = "no question gave a pair"


def list_truths(plan: Plan, datasets: Json) -> list[Json]:
    """What is trained on ground truth: the weak model, and the ceiling on the questions that students get."""
    return [
        _learner(plan, role, seed, fit(model, plan.train, seed, made[split]), made)
        for seed in plan.seeds
        for role, model, split in (
            (WEAK, plan.models.weak, "weak_train"),
            (CEILING, plan.models.strong, "transfer"),
        )
        for made in [datasets[str(seed)]]
    ]


def list_writers(plan: Plan, datasets: Json, truths: list[Json]) -> list[Json]:
    """Who writes solutions: for each seed the weak model, and the strong one in context."""
    items = []
    for seed in plan.seeds:
        weak = _of(truths, "role", WEAK, seed)["run"]["model"]
        strong = plan.models.strong
        base = {"uri": strong.uri, **({"revision": strong.revision} if strong.revision else {})}
        items.append(
            {
                "item": f"write:{seed}",
                "of": {"seed": seed},
                "weak": _teacher(plan, "weak", seed, weak),
                "strong": _teacher(plan, "in-context", seed, base),
                **_asking(plan, datasets[str(seed)]),
            }
        )
    return items


def list_learners(plan: Plan, datasets: Json, written: list[Json]) -> list[Json]:
    """Stage I: an arm a student, and those that a second iteration needs."""
    needed = [HYBRID, *((WEAK_ONLY, ICL_ONLY) if plan.stage.iterations > 1 else ())]
    arms = list(dict.fromkeys([*plan.stage.arms, *needed]))
    return [
        _student(plan, arm, int(made["of"]["seed"]), made["selected"]["datasets"].get(arm), datasets, NOTHING_AGREED)
        for arm in arms
        for made in written
    ]


def list_seconds(plan: Plan, datasets: Json, written: list[Json], learners: list[Json]) -> list[Json]:
    """What each seed does after its first iteration: writes and learns again, where the plan has a second one."""
    items = []
    for made in written:
        seed = int(made["of"]["seed"])
        item: Json = {
            "item": f"again:{seed}",
            "of": {"seed": seed},
            "questions": made["questions"],
            "weak_solutions": made["weak_solutions"],
            "first": _of(learners, "method", HYBRID, seed),
            "again": {},
            **_asking(plan, datasets[str(seed)]),
        }
        if plan.stage.iterations > 1:
            sides = {arm: _of(learners, "method", arm, seed) for arm in (WEAK_ONLY, ICL_ONLY)}
            if all(side["status"] == SUCCEEDED for side in sides.values()):
                item["again"] = {
                    arm: _teacher(plan, arm.replace("_", "-"), seed, side["run"]["model"])
                    for arm, side in sides.items()
                }
                item["learner"] = _student(plan, f"{HYBRID}_2", seed, made["questions"], datasets, NOTHING_AGREED)
        items.append(item)
    return items


def list_samplers(plan: Plan, seconds: list[Json]) -> list[Json]:
    """Whose samples are voted on: the stage-I model of each seed."""
    return [
        {
            "item": f"samples:{int(made['of']['seed'])}",
            "of": made["of"],
            "stage": made["stage"],
            "questions": made["questions"],
            "weak_solutions": made["weak_solutions"],
            "generation": drawn(plan.write, int(made["of"]["seed"])),
            "preference": plan.preference.model_dump(mode="json"),
            "task": plan.data.task,
            "nonce": plan.nonce,
        }
        for made in seconds
    ]


def list_preferences(plan: Plan, datasets: Json, contrasts: list[Json]) -> list[Json]:
    """Stage II: each objective of each seed, from the stage-I model."""
    items = []
    for name in plan.preference.objectives:
        for made in contrasts:
            seed, pairs = int(made["of"]["seed"]), made["pairs"].get("dataset")
            stage = made["stage"]
            model = stage["run"]["model"] if stage["status"] == SUCCEEDED else None
            item = _student(plan, name, seed, pairs if model else None, datasets, made.get("reason", NO_PAIRS))
            if model and pairs:
                preference = plan.preference
                spec = fit(
                    model,
                    plan.train,
                    seed,
                    pairs,
                    _objective(plan, name),
                    learning_rate=preference.learning_rate,
                    epochs=preference.epochs,
                )
                item["run"] = as_json(spec)
            items.append(item)
    return items


def _objective(plan: Plan, name: str) -> trainer_pb2.Objective:
    if name == DPO:
        return trainer_pb2.Objective(dpo=trainer_pb2.Dpo(beta=plan.preference.beta))
    return trainer_pb2.Objective(orpo=trainer_pb2.Orpo(weight=plan.preference.weight))


def _student(plan: Plan, method: str, seed: int, dataset: Json | None, datasets: Json, missing: str) -> Json:
    """A student of the strong model; one without a dataset carries why it cannot be trained."""
    made = datasets[str(seed)]
    # Any dataset stands in where there is none: the item is not trained.
    spec = fit(plan.models.strong, plan.train, seed, dataset or made["weak_train"])
    item = _learner(plan, method, seed, spec, made, may_fail=True)
    return item if dataset else item | {"missing": missing}


def _learner(plan: Plan, method: str, seed: int, spec: trainer_pb2.RunSpec, made: Json, may_fail: bool = False) -> Json:
    return training_item(
        item=f"{method}:{seed}",
        title=plan.data.task,
        of={"method": method, "role": method, "seed": seed},
        run=spec,
        evaluation=exam(plan.data.task, plan.write, made["test"]),
        nonce=plan.nonce,
        may_fail=may_fail,
    )


def _teacher(plan: Plan, what: str, seed: int, model: Json) -> Json:
    """Who writes, as `steps.teach` takes it."""
    named = teacher_id(f"{plan.data.task}-{what}", seed, model.get("digest", ""))
    return {"teacher": teacher_spec(model, "language_model"), "teacher_id": named.rstrip("-"), "title": what}


def _asking(plan: Plan, made: Json) -> Json:
    return {
        "solved": made["weak_train"],
        "transfer": made["transfer"],
        "test": made["test"],
        "shots": plan.stage.shots,
        "generation": greedy(plan.write),
        "exam": as_json(exam(plan.data.task, plan.write, made["transfer"])),
        "nonce": plan.nonce,
    }


def _of(results: Iterable[Json], field: str, value: str, seed: int) -> Any:
    return next(r for r in results if r["of"].get(field) == value and int(r["of"]["seed"]) == seed)
