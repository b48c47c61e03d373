"""Collects a report's figures from the evaluator and the trainer."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from importlib import metadata
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
            _row(plan, method, seed, _compare(evaluator, method, [seed], by_seed, by_item))
            for method in plan.methods
            for seed in plan.seeds
        ]
        summary = [
            _row(plan, method, None, _compare(evaluator, method, plan.seeds, by_seed, by_item))
            for method in plan.methods
        ]
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
    method: str,
    seeds: list[int],
    arms: dict[int, Json],
    students: dict[tuple[str, int], Json],
) -> evaluator_pb2.Comparison:
    def ref(evaluated: Json) -> pb.PredictionsRef:
        return pb.PredictionsRef(**evaluated["evaluation"]["predictions"])

    return evaluator.Compare(
        evaluator_pb2.CompareRequest(
            weak=[ref(arms[seed]) for seed in seeds],
            student=[ref(students[method, seed]) for seed in seeds],
            ceiling=[ref(students[CEILING, seed]) for seed in seeds],
        ),
        timeout=_TIMEOUT_S,
    )


def _row(plan: Plan, method: str, seed: int | None, found: evaluator_pb2.Comparison) -> Result:
    """A comparison as a row of the report; of the summary where there is no seed."""
    return Result(
        dataset=plan.task,
        weak=plan.weak.name,
        student=plan.student.name,
        method=method,
        seed=seed,
        weak_accuracy=found.weak.value,
        student_accuracy=found.student.value,
        ceiling_accuracy=found.ceiling.value,
        agreement=found.agreement.overall.value,
        agreement_supervisor_right=_value(found.agreement.supervisor_right),
        agreement_supervisor_wrong=_value(found.agreement.supervisor_wrong),
        pgr=pgr_figure(found.pgr),
        pgr_median=found.median_pgr if seed is None and found.HasField("median_pgr") else None,
    )


def _value(share: pb.Proportion) -> float | None:
    return share.value if share.HasField("value") else None


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
