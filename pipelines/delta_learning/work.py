"""What a delta learning experiment does, as items for its steps: pure functions of the plan and of what was made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.delta_learning.plan import SFT, STUDENT, TIED, Plan
from pipelines.language import drawn, exam, fit, greedy
from pipelines.plans import Model
from pipelines.steps.items import Json, as_json
from w2s.trainer.v1 import trainer_pb2

NO_PAIRS = "the two teachers gave the same answer to every prompt"


def list_bases(plan: Plan, datasets: Json) -> list[Json]:
    """The teachers and the student of each seed: to be warmed up, marked, and asked."""
    return [
        _base(plan, datasets[str(seed)], seed, place, model)
        for seed in plan.seeds
        for place, model in [*_numbered(plan.models.teachers), (STUDENT, plan.models.student)]
    ]


def _numbered(teachers: list[Model]) -> list[tuple[str, Model]]:
    """Teachers by their places, as text: KFP makes numbers doubles."""
    return [(str(place), model) for place, model in enumerate(teachers)]


def list_arms(plan: Plan, datasets: Json, bases: list[Json]) -> list[Json]:
    """Every arm of every rung and seed; the control and ties need only the larger teacher, and come once for it."""
    items: list[Json] = []
    seen: set[tuple[str, int, int]] = set()
    for seed in plan.seeds:
        for arm in plan.arms:
            for chosen, rejected in plan.rungs:
                alone = arm in (SFT, TIED)
                key = (arm, chosen, seed)
                if not (alone and key in seen):
                    items.append(_arm(plan, datasets[str(seed)], bases, arm, (chosen, rejected), seed))
                seen.add(key)
    return items


def _base(plan: Plan, made: Json, seed: int, place: str, model: Model) -> Json:
    epochs = plan.warm.student_epochs if place == STUDENT else plan.warm.teacher_epochs
    own = {"uri": model.uri, **({"revision": model.revision} if model.revision else {})}
    named = STUDENT if place == STUDENT else f"teacher-{place}"
    item: Json = {
        "item": f"{named}:{seed}",
        "title": plan.data.task,
        "of": {"place": place, "seed": seed},
        "run": as_json(fit(model, plan.train, seed, made["weak_train"], epochs=epochs)) if epochs else {},
        "model": own,
        "teacher_id": f"{plan.data.task}-{named}".replace("_", "-"),
        "transfer": made["transfer"],
        "evaluation": as_json(exam(plan.data.task, plan.write, made["test"])),
        "benchmarks": plan.benchmarks,
        "generation": {} if place == STUDENT else greedy(plan.write),
        "samples": {},
        "nonce": plan.nonce,
        "may_fail": False,
    }
    if TIED in plan.arms and place in {str(chosen) for chosen, _ in plan.rungs}:
        item["samples"] = drawn(plan.write, seed) | {"samples": 2}
    return item


def _arm(plan: Plan, made: Json, bases: list[Json], arm: str, rung: tuple[int, int], seed: int) -> Json:
    chosen, rejected = (_of(bases, str(place), seed) for place in rung)
    student = _of(bases, STUDENT, seed)
    objective = trainer_pb2.Objective(dpo=trainer_pb2.Dpo(beta=plan.preference.beta, length_normalized=True))
    # The dataset is put in once it is made.
    spec = (
        fit(student["model"], plan.train, seed, made["test"])
        if arm == SFT
        else fit(
            student["model"],
            plan.train,
            seed,
            made["test"],
            objective,
            learning_rate=plan.preference.learning_rate,
            epochs=plan.preference.epochs,
        )
    )
    label = f"{arm}:{rung[0]}" if arm in (SFT, TIED) else f"{arm}:{rung[0]}>{rung[1]}"
    return {
        "item": f"{label}:{seed}",
        "title": plan.data.task,
        "of": {"arm": arm, "chosen": rung[0], "rejected": rung[0] if arm in (SFT, TIED) else rung[1], "seed": seed},
        "arm": arm,
        "chosen": chosen["written"],
        "rejected": rejected["written"],
        "tied": chosen["samples"],
        "run": as_json(spec),
        "evaluation": as_json(exam(plan.data.task, plan.write, made["test"])),
        "benchmarks": plan.benchmarks,
        "nonce": plan.nonce,
        "may_fail": True,
    }


def _of(bases: Iterable[Json], place: str, seed: int) -> Any:
    return next(b for b in bases if b["of"]["place"] == place and int(b["of"]["seed"]) == seed)
