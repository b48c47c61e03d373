"""The figures of a report beyond accuracy: every student held against its supervisor and its ceiling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from pipelines.beyond_accuracy.plan import CEILING, TOXICITY, WEAK, Plan
from pipelines.beyond_accuracy.work import truth_of
from pipelines.reporting.pgr import PgrFigure, pgr_figure
from pipelines.steps.compare import compare, publication
from pipelines.steps.guard import FAILED
from pipelines.steps.items import Json, succeeded
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2

OF_CLASSES = ("accuracy", "balanced_accuracy", "weighted_f1")
OF_ANSWERS = ("expected_maximum_toxicity", "toxicity_probability", "toxicity")


class Figure(BaseModel):
    """A metric with its 95 % interval, which is null where there is none."""

    value: float
    low: float | None
    high: float | None


class Result(BaseModel):
    """A student of one seed in one metric, or in the summary a method over all seeds.

    Attributes:
        part: What it is about.
        metric: The metric.
        lower_is_better: Which way it gets better.
        method: How the student learned.
        seed: The seed; null in the summary.
        seeds: How many seeds the row is of.
        examples: Test examples, or prompts, of each seed.
        weak: The supervisor; in the summary a mean over seeds.
        student: Likewise.
        ceiling: Likewise.
        pgr: Performance gap recovered; in the summary of the means.
        pgr_median: The median over seeds whose PGR is OK; in the summary only.
        agreement: Student-supervisor agreement on the test split, in [0, 1]; null of answers.
        agreement_supervisor_right: Where the supervisor is right.
        agreement_supervisor_wrong: Where it is wrong: imitated errors.
        p_value: McNemar's, student against supervisor; null of answers.
    """

    part: str
    metric: str
    lower_is_better: bool
    method: str
    seed: int | None
    seeds: int
    examples: int
    weak: Figure
    student: Figure
    ceiling: Figure
    pgr: PgrFigure
    pgr_median: float | None
    agreement: float | None
    agreement_supervisor_right: float | None
    agreement_supervisor_wrong: float | None
    p_value: float | None


class Failure(BaseModel):
    """A student that there is not, and why."""

    part: str
    method: str
    seed: int
    reason: str


class Supervision(BaseModel):
    """A weak model's supervision.

    Attributes:
        part: What it is about.
        seed: The seed.
        teacher: Who supervised.
        label_accuracy: The share of its labels that are right; null where it wrote continuations.
        empty: Continuations that it ended at once, which nobody learns from; null where it labelled.
    """

    part: str
    seed: int
    teacher: str
    label_accuracy: float | None
    empty: int | None


class Figures(BaseModel):
    """All figures of an experiment, and what made them."""

    results: list[Result]
    summary: list[Result]
    supervision: list[Supervision]
    failures: list[Failure]
    provenance: dict[str, Any] = {}


def collect(plan: Plan, truths: list[Json], arms: list[Json], students: list[Json]) -> Figures:
    """Compares every student with its supervisor and its ceiling, in every metric of its part.

    Args:
        plan: The experiment.
        truths: What was trained on ground truth.
        arms: What each supervision made.
        students: What became of each student.

    Raises:
        FailedPrecondition: Every student failed.
    """
    failures = [_failure(student) for student in students if student["status"] == FAILED]
    made = succeeded(students)
    if not made:
        raise FailedPrecondition(f"every student failed; the first because {failures[0].reason}")
    results, summary = [], []
    for part, metric, method in _kinds(plan):
        ones = [s for s in made if (s["of"]["part"], s["of"]["method"]) == (part, method)]
        results += [_result(plan, metric, [one], truths) for one in ones]
        summary += [_result(plan, metric, ones, truths, pooled=True)] if ones else []
    return Figures(results=results, summary=summary, supervision=list(map(_supervision, arms)), failures=failures)


def metrics_of(part: str) -> tuple[str, ...]:
    """What is measured of a part."""
    return OF_ANSWERS if part == TOXICITY else OF_CLASSES


def _kinds(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for part in plan.parts:
        for metric in metrics_of(part):
            for method in plan.methods_of(part):
                yield part, metric, method


def _result(plan: Plan, metric: str, students: Sequence[Json], truths: list[Json], pooled: bool = False) -> Result:
    """A row of one student, or of the summary over a method's seeds, which is published."""
    part, method = students[0]["of"]["part"], students[0]["of"]["method"]
    seeds = [int(student["of"]["seed"]) for student in students]
    weak, strong = plan.models_of(part)
    found = compare(
        weak=[truth_of(truths, part, WEAK, seed)["evaluation"] for seed in seeds],
        student=[student["evaluation"] for student in students],
        ceiling=[truth_of(truths, part, CEILING, seed)["evaluation"] for seed in seeds],
        metric=metric,
        publish_as=publication(plan.task_of(part), metric, method, weak.tag, strong.tag) if pooled else "",
    )
    classes = part != TOXICITY
    agreement = found.agreement
    return Result(
        part=part,
        metric=metric,
        lower_is_better=found.direction == evaluator_pb2.DIRECTION_LOWER_IS_BETTER,
        method=method,
        seed=None if pooled else seeds[0],
        seeds=len(seeds),
        examples=found.examples,
        weak=_figure(found.weak),
        student=_figure(found.student),
        ceiling=_figure(found.ceiling),
        pgr=pgr_figure(found.pgr),
        pgr_median=found.median_pgr if pooled and found.HasField("median_pgr") else None,
        agreement=_share(agreement.overall) if classes else None,
        agreement_supervisor_right=_share(agreement.supervisor_right) if classes else None,
        agreement_supervisor_wrong=_share(agreement.supervisor_wrong) if classes else None,
        p_value=found.mcnemar.p_value if classes else None,
    )


def _figure(estimate: pb.Estimate) -> Figure:
    known = estimate.HasField("interval")
    return Figure(
        value=estimate.value,
        low=estimate.interval.low if known else None,
        high=estimate.interval.high if known else None,
    )


def _share(share: pb.Proportion) -> float | None:
    return share.value if share.HasField("value") else None


def _failure(student: Json) -> Failure:
    of = student["of"]
    return Failure(part=of["part"], method=of["method"], seed=int(of["seed"]), reason=student["reason"])


def _supervision(arm: Json) -> Supervision:
    labels = arm.get("label_evaluation")
    return Supervision(
        part=arm["of"]["part"],
        seed=int(arm["of"]["seed"]),
        teacher=arm["teacher"]["teacher"],
        label_accuracy=labels["accuracy"] if labels else None,
        empty=int(arm["empty"]) if "empty" in arm else None,
    )
