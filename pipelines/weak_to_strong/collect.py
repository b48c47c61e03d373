"""Collects a weak-to-strong report's figures from the evaluator and the trainer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pipelines.reporting.pgr import pgr_figure
from pipelines.reporting.provenance import provenance, training_of
from pipelines.steps.compare import compare, publication
from pipelines.steps.guard import FAILED
from pipelines.steps.items import succeeded
from pipelines.weak_to_strong.figures import Curve, Failure, Range, Report, Result, Supervision
from pipelines.weak_to_strong.plan import CEILING, WEAK, Plan
from pipelines.weak_to_strong.work import ceiling_of
from w2s.client import Endpoints, connect
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc

Json = dict[str, Any]
# A weak model, a strong one and a method: places in the plan's lists, and a name.
Kind = tuple[int, int, str]

_TIMEOUT_S = 300.0


def collect(plan: Plan, datasets: Json, truths: list[Json], arms: list[Json], students: list[Json]) -> Report:
    """Compares every student with its supervisor and its ceiling, and gathers what else is shown.

    Args:
        plan: The experiment.
        datasets: Its datasets by split, by seed.
        truths: What was trained on ground truth, the ceilings among it.
        arms: What each supervision made.
        students: What became of each student.

    Raises:
        FailedPrecondition: Every student failed.
    """
    failures = [_failure(plan, student) for student in students if student["status"] == FAILED]
    by_kind: dict[Kind, list[Json]] = defaultdict(list)
    for student in succeeded(students):
        of = student["of"]
        by_kind[int(of["weak"]), int(of["strong"]), of["method"]].append(student)
    if not by_kind:
        raise FailedPrecondition(f"every student failed; the first because {failures[0].reason}")
    # Gap by gap, and within it in the plan's order of methods.
    kinds = sorted(by_kind, key=lambda kind: kind[:2])
    return Report(
        results=[_row(plan, kind, [student], truths, arms) for kind in kinds for student in by_kind[kind]],
        summary=[_row(plan, kind, by_kind[kind], truths, arms, pooled=True) for kind in kinds],
        failures=failures,
        supervision=[_supervision(plan, arm) for arm in arms],
        curves=_curves(plan, truths, succeeded(students)),
        provenance=_provenance(plan, datasets, truths, arms, students),
    )


def _row(
    plan: Plan, kind: Kind, students: Sequence[Json], truths: list[Json], arms: list[Json], pooled: bool = False
) -> Result:
    """A row of the report: of one student, or of the summary over a method's seeds, which is published."""
    weak, strong, method = kind
    seeds = [int(student["of"]["seed"]) for student in students]
    supervisors = {int(arm["of"]["seed"]): arm for arm in arms if int(arm["of"]["weak"]) == weak}
    teacher, learner = plan.models.weak[weak], plan.models.strong[strong]
    found = compare(
        weak=[supervisors[seed]["evaluation"] for seed in seeds],
        student=[student["evaluation"] for student in students],
        ceiling=[ceiling_of(truths, strong, seed)["evaluation"] for seed in seeds],
        publish_as=publication(plan.data.task, teacher.tag, learner.tag, method) if pooled else "",
    )
    return _result(plan, kind, None if pooled else seeds[0], found)


def _result(plan: Plan, kind: Kind, seed: int | None, found: evaluator_pb2.Comparison) -> Result:
    weak, strong, method = kind
    return Result(
        dataset=plan.data.task,
        weak=plan.models.weak[weak].title,
        student=plan.models.strong[strong].title,
        method=method,
        seed=seed,
        weak_accuracy=found.weak.value,
        student_accuracy=found.student.value,
        ceiling_accuracy=found.ceiling.value,
        weak_interval=_range(found.weak),
        student_interval=_range(found.student),
        ceiling_interval=_range(found.ceiling),
        examples=found.examples,
        agreement=found.agreement.overall.value,
        agreement_supervisor_right=_value(found.agreement.supervisor_right),
        agreement_supervisor_wrong=_value(found.agreement.supervisor_wrong),
        pgr=pgr_figure(found.pgr),
        pgr_median=found.median_pgr if seed is None and found.HasField("median_pgr") else None,
    )


def _failure(plan: Plan, student: Json) -> Failure:
    of = student["of"]
    return Failure(
        weak=plan.models.weak[int(of["weak"])].title,
        student=plan.models.strong[int(of["strong"])].title,
        method=of["method"],
        seed=int(of["seed"]),
        reason=student["reason"],
    )


def _range(estimate: pb.Estimate) -> Range:
    return (estimate.interval.low, estimate.interval.high) if estimate.HasField("interval") else None


def _value(share: pb.Proportion) -> float | None:
    return share.value if share.HasField("value") else None


def _curves(plan: Plan, truths: list[Json], students: list[Json]) -> list[Curve]:
    with connect(Endpoints.from_environment().trainer) as channel:
        trainer = trainer_pb2_grpc.TrainerServiceStub(channel)
        found = [
            _curve(trainer, role, plan_models[int(place)].title, truth)
            for truth in truths
            for role, plan_models in ((WEAK, plan.models.weak), (CEILING, plan.models.strong))
            for place in truth["of"][role]
        ]
        return found + [
            _curve(trainer, s["of"]["method"], plan.models.strong[int(s["of"]["strong"])].title, s) for s in students
        ]


def _curve(trainer: trainer_pb2_grpc.TrainerServiceStub, method: str, model: str, made: Json) -> Curve:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    request = trainer_pb2.WatchRunRequest(name=made["run"]["run"])
    for event in trainer.WatchRun(request, timeout=_TIMEOUT_S):
        # What comes before the run's own training has steps of its own.
        if event.progress.stage in ("train", "evaluate"):
            for name, value in event.progress.metrics.items():
                points[name].append((event.progress.step, value))
    return Curve(method=method, model=model, seed=int(made["of"]["seed"]), points=dict(points))


def _supervision(plan: Plan, arm: Json) -> Supervision:
    labels = arm["label_evaluation"]
    return Supervision(
        weak=plan.models.weak[int(arm["of"]["weak"])].title,
        seed=int(arm["of"]["seed"]),
        teacher=arm["teacher"]["teacher"],
        label_accuracy=labels["accuracy"],
        reliability=labels["reliability"],
    )


def _provenance(plan: Plan, datasets: Json, truths: list[Json], arms: list[Json], students: list[Json]) -> Json:
    return provenance(
        "weak-to-strong",
        plan,
        datasets=datasets,
        ground_truth=[training_of(truth) for truth in truths],
        supervision=[arm["of"] | {"teacher": arm["teacher"], "labels": arm["labels"]} for arm in arms],
        students=[training_of(student) for student in succeeded(students)],
    )
