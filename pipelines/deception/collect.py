"""Assesses the students of a deception experiment."""

from __future__ import annotations

from pipelines.deception.figures import MINIMUM, OK, Area, Deception, Failure, Figure, Figures, Student, Supervision
from pipelines.deception.means import mean_of_cell
from pipelines.deception.plan import BOOTSTRAPPING, CEILING, NO_CONFLICT, ORACLE_FILTER, WEAK, Plan
from pipelines.deception.work import students as listed
from pipelines.deception.work import truth_of
from pipelines.steps.assess import assess
from pipelines.steps.compare import publication
from pipelines.steps.guard import FAILED
from pipelines.steps.items import Json, succeeded
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2


def collect(plan: Plan, truths: list[Json], arms: list[Json], routes: list[Json], students: list[Json]) -> Figures:
    """Assesses every student against its weak model, its ceiling and its twin without conflict.

    Args:
        plan: The experiment.
        truths: What was trained on ground truth.
        arms: What each supervision made.
        routes: How labels came to students.
        students: What became of each student.

    Raises:
        FailedPrecondition: Every student failed.
    """
    failures = [_failure(plan, route["of"], route["reason"]) for route in _untaught(plan, routes)]
    failures += [_failure(plan, s["of"], s["reason"]) for s in students if s["status"] == FAILED]
    made = {_key(student["of"]): student for student in succeeded(students)}
    if not made:
        raise FailedPrecondition(f"every student failed; the first because {failures[0].reason}")
    rows = [_student(plan, of, made, truths) for of in listed(plan) if _key(of) in made]
    cells: dict[tuple[str, ...], list[Student]] = {}
    for row in rows:
        cells.setdefault((row.objective, row.gap, row.mitigation, row.conflict), []).append(row)
    return Figures(
        students=rows,
        cells=[mean_of_cell(cell) for cell in cells.values()],
        supervision=[_supervision(plan, arm) for arm in arms],
        failures=failures,
    )


def _untaught(plan: Plan, routes: list[Json]) -> list[Json]:
    """The students whose intermediate model failed, with its reason."""
    failed = [route for route in routes if route["status"] == FAILED]
    return [
        {"of": of, "reason": f"its intermediate model failed: {route['reason']}"}
        for of in listed(plan)
        for route in failed
        if of["mitigation"] == BOOTSTRAPPING
        and of["objective"] == route["of"]["objective"]
        and (of["weak"], of["seed"]) == (int(route["of"]["weak"]), int(route["of"]["seed"]))
    ]


def _student(plan: Plan, of: Json, made: dict[tuple[str | int, ...], Json], truths: list[Json]) -> Student:
    weak, ceiling = (truth_of(truths, role, of) for role in (WEAK, CEILING))
    student, twin = made[_key(of)], made.get(_key(of | {"conflict": NO_CONFLICT}))
    models = plan.models_of(of["objective"])
    names = models.weak[of["weak"]], models.strong[of["strong"]]
    told = (of["objective"], *(model.tag for model in names), of["conflict"], of["mitigation"])
    calibrated = plan.knowledge.calibrated
    found = assess(
        weak["evaluation"],
        ceiling["evaluation"],
        student["evaluation"],
        twin["evaluation"] if twin is not None and of["conflict"] != NO_CONFLICT else None,
        plan.knowledge.threshold,
        # One series for each cell, whatever the number of seeds.
        publication("deception", plan.data.task, *told) if of["seed"] == plan.seeds[0] else "",
        (weak["validation_evaluation"], ceiling["validation_evaluation"]) if calibrated else None,
    )
    at = _deception(found.figures)
    return Student(
        objective=of["objective"],
        weak=names[0].title,
        strong=names[1].title,
        conflict=of["conflict"],
        mitigation=of["mitigation"],
        seed=of["seed"],
        oracle=of["mitigation"] == ORACLE_FILTER,
        pairs=student["examples"],
        weak_accuracy=weak["evaluation"]["accuracy"],
        accuracy=student["evaluation"]["accuracy"],
        ceiling_accuracy=ceiling["evaluation"]["accuracy"],
        blind_spot_rate=found.blind_spot_rate.value,
        weak_temperature=found.weak_temperature,
        strong_temperature=found.strong_temperature,
        at=at,
        sweep=[_deception(one) for one in found.sweep],
        status=_status(at),
    )


def _status(at: Deception) -> str:
    if at.score.value is not None:
        return OK
    if at.base_rate.value is None:
        return f"the ceiling knows {at.base_rate.n} pairs, fewer than {MINIMUM}"
    return f"{at.score.n} errors in what the ceiling knows, fewer than {MINIMUM}"


def _deception(found: evaluator_pb2.DeceptionFigures) -> Deception:
    return Deception(
        threshold=found.threshold,
        areas=[
            Area(strong_known=area.strong_known, weak_known=area.weak_known, right=area.right, wrong=area.wrong)
            for area in found.areas
        ],
        score=_figure(found.score_errors),
        tax=_figure(found.score_conflict_tax),
        base_rate=_figure(found.base_rate),
        lift=_figure(found.lift),
        difference=_figure(found.difference_to_no_conflict),
    )


def _figure(found: pb.Estimate) -> Figure:
    if not found.HasField("value"):
        return Figure(n=found.n)
    return Figure(value=found.value, low=found.interval.low, high=found.interval.high, n=found.n)


def _supervision(plan: Plan, arm: Json) -> Supervision:
    of = arm["of"]
    return Supervision(
        objective=of["objective"],
        weak=plan.models_of(of["objective"]).weak[int(of["weak"])].title,
        seed=int(of["seed"]),
        accuracy=arm["label_evaluation"]["accuracy"],
    )


def _failure(plan: Plan, of: Json, reason: str) -> Failure:
    models = plan.models_of(of["objective"])
    return Failure(
        objective=of["objective"],
        weak=models.weak[int(of["weak"])].title,
        strong=models.strong[int(of["strong"])].title,
        conflict=of["conflict"],
        mitigation=of["mitigation"],
        seed=int(of["seed"]),
        reason=reason,
    )


def _key(of: Json) -> tuple[str | int, ...]:
    return (
        of["objective"], int(of["weak"]), int(of["strong"]), of["conflict"], of["mitigation"], int(of["seed"]),
    )  # fmt: skip
