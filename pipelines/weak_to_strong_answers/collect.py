"""Collects the figures of an experiment on written answers from the evaluator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from pipelines.reporting.marks import Mark, mark
from pipelines.reporting.pgr import PgrFigure, pgr_figure
from pipelines.reporting.provenance import provenance, training_of
from pipelines.steps.compare import compare, publication
from pipelines.steps.guard import FAILED
from pipelines.steps.items import Json, succeeded
from pipelines.weak_to_strong_answers.plan import CEILING, WEAK, Plan
from w2s.errors import FailedPrecondition


class Student(BaseModel):
    """A method over a gap, over all seeds or with a seed one student; PGR is held against weak model and ceiling."""

    method: str
    weak_model: str
    strong_model: str
    seed: int | None
    seeds: int
    weak: Mark
    student: Mark
    ceiling: Mark
    pgr: PgrFigure
    examples: int


class Failure(BaseModel):
    """A student that there is not, and why."""

    method: str
    weak_model: str
    strong_model: str
    seed: int
    reason: str


class Report(BaseModel):
    """Everything the report shows, and what made it."""

    task: str
    metric: str
    summary: list[Student]
    students: list[Student]
    failures: list[Failure]
    provenance: dict[str, Any]


def collect(plan: Plan, datasets: Json, truths: list[Json], written: list[Json], students: list[Json]) -> Report:
    """Compares every student with its weak model and its ceiling.

    Raises:
        FailedPrecondition: Every student failed.
    """
    trained = succeeded(students)
    if not trained:
        raise FailedPrecondition(f"every student failed; the first because {students[0]['reason']}")
    kinds: dict[tuple[str, int, int], list[Json]] = {}
    for student in trained:
        kinds.setdefault(_kind(student["of"]), []).append(student)
    return Report(
        task=plan.data.task,
        metric=plan.data.metric,
        summary=[_student(plan, truths, of_kind, pooled=True) for of_kind in kinds.values()],
        students=[_student(plan, truths, [one]) for of_kind in kinds.values() for one in of_kind],
        failures=[
            Failure(**_named(plan, s["of"]), seed=int(s["of"]["seed"]), reason=s["reason"])
            for s in students
            if s["status"] == FAILED
        ],
        provenance=provenance(
            "weak-to-strong-answers",
            plan,
            datasets=datasets,
            ground_truth=[training_of(truth) for truth in truths],
            answers=[{name: w[name] for name in ("of", "teacher", "answers")} for w in written],
            students=[training_of(student) for student in trained],
        ),
    )


def _kind(of: Json) -> tuple[str, int, int]:
    return of["method"], int(of["weak"]), int(of["strong"])


def _named(plan: Plan, of: Json) -> dict[str, str]:
    method, weak, strong = _kind(of)
    return {
        "method": method,
        "weak_model": plan.models.weak[weak].title,
        "strong_model": plan.models.strong[strong].title,
    }


def _student(plan: Plan, truths: list[Json], students: Sequence[Json], pooled: bool = False) -> Student:
    seeds, of = [int(s["of"]["seed"]) for s in students], students[0]["of"]
    named = _named(plan, of)
    found = compare(
        weak=[_truth(truths, WEAK, of["weak"], seed)["evaluation"] for seed in seeds],
        student=[student["evaluation"] for student in students],
        ceiling=[_truth(truths, CEILING, of["strong"], seed)["evaluation"] for seed in seeds],
        metric=plan.data.metric,
        publish_as=publication(plan.data.task, *named.values()) if pooled else "",
    )
    return Student(
        **named,
        seed=None if pooled else seeds[0],
        seeds=len(seeds),
        weak=mark(found.weak),
        student=mark(found.student),
        ceiling=mark(found.ceiling),
        pgr=pgr_figure(found.pgr),
        examples=found.examples,
    )


def _truth(truths: Iterable[Json], role: str, place: float, seed: int) -> Json:
    known = (role, int(place), seed)
    return next(t for t in truths if (t["of"]["role"], int(t["of"]["place"]), int(t["of"]["seed"])) == known)
