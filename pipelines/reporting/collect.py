"""Collects a report's figures from the evaluator and the trainer."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from importlib import metadata
from statistics import median
from typing import Any

from pipelines.config import CEILING, Plan
from pipelines.reporting.model import Curve, Report, Result, Supervision, pgr_figure
from w2s.client import Endpoints, connect
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc
from w2s.provenance import code_version, environment
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc

Json = dict[str, Any]

_TIMEOUT_S = 300.0


def collect(plan: Plan, arms: list[Json], students: list[Json]) -> Report:
    """Compares every student with its supervisor and its ceiling, and gathers what else is shown.

    Args:
        plan: The experiment.
        arms: What each seed's supervision made.
        students: What each student's evaluation made, the ceilings among them.
    """
    by_seed = {int(arm["seed"]): arm for arm in arms}
    by_item = {(student["method"], int(student["seed"])): student for student in students}
    endpoints = Endpoints.from_environment()
    with connect(endpoints.evaluator) as channel:
        evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(channel)
        results = [
            _compare(evaluator, plan, method, [seed], by_seed, by_item)
            for method in plan.methods
            for seed in plan.seeds
        ]
        summary = [_compare(evaluator, plan, method, plan.seeds, by_seed, by_item) for method in plan.methods]
    for row in summary:
        row.pgr_median = _median(results, row.method)
    with connect(endpoints.trainer) as channel:
        trainer = trainer_pb2_grpc.TrainerServiceStub(channel)
        curves = [_curve(trainer, "weak", seed, arm["run"]["name"]) for seed, arm in by_seed.items()]
        curves += [_curve(trainer, method, seed, s["run"]["name"]) for (method, seed), s in by_item.items()]
    return Report(
        results=results,
        summary=summary,
        supervision=[_supervision(arm) for arm in arms],
        curves=curves,
        provenance=_provenance(plan, arms, students),
    )


def _compare(
    evaluator: evaluator_pb2_grpc.EvaluatorServiceStub,
    plan: Plan,
    method: str,
    seeds: list[int],
    arms: dict[int, Json],
    students: dict[tuple[str, int], Json],
) -> Result:
    def ref(evaluated: Json) -> pb.PredictionsRef:
        return pb.PredictionsRef(**evaluated["evaluation"]["predictions"])

    found = evaluator.Compare(
        evaluator_pb2.CompareRequest(
            weak=[ref(arms[seed]) for seed in seeds],
            student=[ref(students[method, seed]) for seed in seeds],
            ceiling=[ref(students[CEILING, seed]) for seed in seeds],
        ),
        timeout=_TIMEOUT_S,
    )
    return Result(
        dataset=plan.task,
        weak=plan.weak.name,
        student=plan.student.name,
        method=method,
        seed=seeds[0] if len(seeds) == 1 else None,
        weak_accuracy=found.weak_accuracy,
        student_accuracy=found.student_accuracy,
        ceiling_accuracy=found.ceiling_accuracy,
        agreement=found.agreement.overall.value,
        agreement_supervisor_right=_value(found.agreement.supervisor_right),
        agreement_supervisor_wrong=_value(found.agreement.supervisor_wrong),
        pgr=pgr_figure(found.pgr),
    )


def _value(share: pb.Proportion) -> float | None:
    return share.value if share.HasField("value") else None


def _median(results: list[Result], method: str) -> float | None:
    """The median PGR over seeds, as the paper aggregates; seeds whose PGR means nothing are left out."""
    values = [row.pgr.value for row in results if row.method == method and row.pgr.value is not None]
    return median(values) if values else None


def _curve(trainer: trainer_pb2_grpc.TrainerServiceStub, method: str, seed: int, run: str) -> Curve:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for event in trainer.WatchRun(trainer_pb2.WatchRunRequest(name=run), timeout=_TIMEOUT_S):
        for name, value in event.progress.metrics.items():
            points[name].append((event.progress.step, value))
    return Curve(method=method, seed=seed, points=dict(points))


def _supervision(arm: Json) -> Supervision:
    labels = arm["label_evaluation"]
    return Supervision(
        seed=int(arm["seed"]),
        teacher=arm["teacher"]["name"],
        label_accuracy=labels["accuracy"],
        reliability=labels["reliability"],
    )


def _provenance(plan: Plan, arms: list[Json], students: list[Json]) -> Json:
    return {
        "plan": plan.model_dump(mode="json"),
        "code_version": code_version(),
        "environment": environment() | {"kfp": metadata.version("kfp")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": {
            int(arm["seed"]): {
                "datasets": arm["datasets"],
                "teacher": arm["teacher"],
                "labels": arm["labels"],
                "weak_run": arm["run"]["name"],
            }
            for arm in arms
        },
        "students": [
            {"method": s["method"], "seed": int(s["seed"]), "run": s["run"]["name"], "model": s["run"]["model"]}
            for s in students
        ],
    }
