"""Collects a reasoning report's figures from the evaluator's predictions and comparisons."""

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
from pipelines.weak_to_strong_reasoning.plan import CEILING, WEAK, Plan
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import read_answers
from w2s.client import artifact_root
from w2s.errors import FailedPrecondition


class Student(BaseModel):
    """A method over all seeds, or with a seed one student; PGR is held against weak model and ceiling."""

    method: str
    seed: int | None
    seeds: int
    weak: Mark
    student: Mark
    ceiling: Mark
    pgr: PgrFigure
    examples: int


class Selection(BaseModel):
    """What an iteration selected, marked by the evaluator, which alone has ground truth.

    Attributes:
        precision: Share of the selected questions whose weak answer is right; null of none.
        coverage: Share of the questions that were selected.
        unselected: Share of right weak answers among all questions, what no selection would give.
    """

    seed: int
    iteration: int
    questions: int
    selected: int
    precision: float | None
    coverage: float
    unselected: float


class Contrast(BaseModel):
    """The pairs of a seed, and of how many questions they are."""

    seed: int
    pairs: int
    questions: int


class Failure(BaseModel):
    """A student that there is not, and why."""

    method: str
    seed: int
    reason: str


class Report(BaseModel):
    """Everything the report shows, and what made it."""

    task: str
    metric: str
    summary: list[Student]
    students: list[Student]
    in_context: list[tuple[int, float]]
    selections: list[Selection]
    contrasts: list[Contrast]
    failures: list[Failure]
    provenance: dict[str, Any]


def collect(
    plan: Plan,
    datasets: Json,
    truths: list[Json],
    written: list[Json],
    learners: list[Json],
    seconds: list[Json],
    contrasts: list[Json],
    preferences: list[Json],
) -> Report:
    """Compares every student with the weak model and the ceiling, and marks what was selected.

    Raises:
        FailedPrecondition: Every student failed.
    """
    again = [made["second"]["learner"] for made in seconds if made["second"]]
    students = [*learners, *again, *preferences]
    trained = succeeded(students)
    if not trained:
        raise FailedPrecondition(f"every student failed; the first because {students[0]['reason']}")
    methods = dict.fromkeys(student["of"]["method"] for student in trained)
    by_method = {name: [s for s in trained if s["of"]["method"] == name] for name in methods}
    store = ArtifactStore(artifact_root())
    return Report(
        task=plan.data.task,
        metric=plan.data.metric,
        summary=[_student(plan, truths, of_method, pooled=True) for of_method in by_method.values()],
        students=[_student(plan, truths, [one]) for of_method in by_method.values() for one in of_method],
        in_context=[(int(w["of"]["seed"]), w["in_context_marks"]["metrics"][plan.data.metric]) for w in written],
        selections=list(_selections(store, plan.data.metric, written, seconds)),
        contrasts=[
            Contrast(seed=int(c["of"]["seed"]), pairs=int(c["pairs"]["pairs"]), questions=int(c["pairs"]["questions"]))
            for c in contrasts
        ],
        failures=[
            Failure(method=s["of"]["method"], seed=int(s["of"]["seed"]), reason=s["reason"])
            for s in students
            if s["status"] == FAILED
        ],
        provenance=provenance(
            "weak-to-strong-reasoning",
            plan,
            datasets=datasets,
            ground_truth=[training_of(truth) for truth in truths],
            solutions=[
                {n: w[n] for n in ("of", "teachers", "weak_solutions", "in_context_solutions")} for w in written
            ],
            students=[training_of(student) for student in trained],
        ),
    )


def _student(plan: Plan, truths: list[Json], students: Sequence[Json], pooled: bool = False) -> Student:
    seeds, method = [int(s["of"]["seed"]) for s in students], students[0]["of"]["method"]
    found = compare(
        weak=[_truth(truths, WEAK, seed)["evaluation"] for seed in seeds],
        student=[student["evaluation"] for student in students],
        ceiling=[_truth(truths, CEILING, seed)["evaluation"] for seed in seeds],
        metric=plan.data.metric,
        publish_as=publication(plan.data.task, "reasoning", method) if pooled else "",
    )
    return Student(
        method=method,
        seed=None if pooled else seeds[0],
        seeds=len(seeds),
        weak=mark(found.weak),
        student=mark(found.student),
        ceiling=mark(found.ceiling),
        pgr=pgr_figure(found.pgr),
        examples=found.examples,
    )


def _selections(
    store: ArtifactStore, metric: str, written: Iterable[Json], seconds: Iterable[Json]
) -> Iterable[Selection]:
    for number, parts in enumerate(([(w["of"], w) for w in written], [(s["of"], s["second"]) for s in seconds]), 1):
        for of, part in parts:
            if part:
                yield _selection(store, metric, int(of["seed"]), number, part)


def _selection(store: ArtifactStore, metric: str, seed: int, iteration: int, part: Json) -> Selection:
    answers = read_answers(store, ArtifactRef(**part["marks"]["predictions"]))
    right = dict(zip(answers.ids, answers.scores[metric][:, 0].tolist(), strict=True))
    agreed, questions = part["selected"]["agreed"], int(part["selected"]["questions"])
    return Selection(
        seed=seed,
        iteration=iteration,
        questions=questions,
        selected=len(agreed),
        precision=sum(right[id_] for id_ in agreed) / len(agreed) if agreed else None,
        coverage=len(agreed) / questions,
        unselected=sum(right.values()) / len(right),
    )


def _truth(truths: Iterable[Json], role: str, seed: int) -> Json:
    return next(t for t in truths if t["of"]["role"] == role and int(t["of"]["seed"]) == seed)
