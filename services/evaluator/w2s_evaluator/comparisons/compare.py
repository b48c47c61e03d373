"""Compares a student with its weak supervisor and its ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts.tables import Answers, Predictions, softmax
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check
from w2s.metrics import (
    METRICS,
    Agreement,
    Calibration,
    Direction,
    Estimate,
    McNemar,
    Pgr,
    agreement,
    calibration,
    mcnemar,
    pgr_of_draws,
)
from w2s.metrics.bootstrap import summarise, summarise_share
from w2s_evaluator.comparisons.arms import Arm, makers
from w2s_evaluator.comparisons.measures import OF_THE_WORST, Measured, measure, usual_metric
from w2s_evaluator.comparisons.spec import ComparisonSpec

ROLES = ("weak", "student", "ceiling")

_LEVEL = 0.95


@dataclass(frozen=True)
class Beside:
    """Student and supervisor beside each other, pooled over seeds.

    Attributes:
        agreement: How often they predict the same class.
        mcnemar: Whether they are right on different examples; the student is the first.
        supervisor: The supervisor's calibration.
        student: The student's.
    """

    agreement: Agreement
    mcnemar: McNemar
    supervisor: Calibration
    student: Calibration


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        metric: What is compared.
        direction: Which way it gets better.
        scores: The metric by role, a mean over seeds; the bootstrap draws seeds and examples.
        pgr: Of those means.
        seeds: PGR of each seed by itself.
        beside: Student and supervisor beside each other; None of answers.
        examples: How many are compared, for each seed.
    """

    metric: str
    direction: Direction
    scores: Mapping[str, Estimate]
    pgr: Pgr
    seeds: Sequence[Pgr]
    beside: Beside | None
    examples: int


def compare(arms: Mapping[str, Sequence[Arm]], spec: ComparisonSpec, check: Check) -> Comparison:
    """Compares arms of the same examples.

    Args:
        arms: One of each seed, by role, as `read_arms` gives them.
        spec: The metric, and how figures are made.
        check: Raises where the work should stop.

    Raises:
        InvalidArgument: An arm does not have the metric, or a maximum is of other numbers of answers.
    """
    first = arms["weak"][0]
    metric = spec.metric or usual_metric(first)
    _check_samples(arms, metric)
    found = measure({role: arms[role] for role in ROLES}, metric)
    same = [makers(w) == makers(c) for w, c in zip(arms["weak"], arms["ceiling"], strict=True)]
    check()
    drawn = found.drawn(spec.replicates, spec.seed)
    overall = pgr_of_draws(found.values, drawn, direction=METRICS[metric], same_model=all(same))
    check()
    examples = len(first.ids)
    return Comparison(
        metric=metric,
        direction=METRICS[metric],
        scores=dict(zip(ROLES, _estimates(found, drawn, examples), strict=True)),
        pgr=overall,
        seeds=[overall] if len(same) == 1 else _by_seed(found, metric, same, spec, check),
        beside=_beside(_classes(arms["student"]), _classes(arms["weak"])),
        examples=examples,
    )


def _check_samples(arms: Mapping[str, Sequence[Arm]], metric: str) -> None:
    if metric not in OF_THE_WORST:
        return
    every = {f"{role}[{n}]": arm for role in ROLES for n, arm in enumerate(arms[role]) if isinstance(arm, Answers)}
    samples = {field: len(arm.samples[0]) for field, arm in every.items()}
    for field, count in samples.items():
        if count != samples["weak[0]"]:
            raise InvalidArgument(field, f"has {count} answers to a prompt, weak[0] {samples['weak[0]']}")


def _by_seed(found: Measured, metric: str, same: Sequence[bool], spec: ComparisonSpec, check: Check) -> list[Pgr]:
    every = []
    for seed, same_model in enumerate(same):
        check()
        one = found.of_seed(seed)
        drawn = one.drawn(spec.replicates, spec.seed)
        every.append(pgr_of_draws(one.values, drawn, direction=METRICS[metric], same_model=same_model))
    return every


def _estimates(found: Measured, drawn: NDArray[np.float64], examples: int) -> list[Estimate]:
    """Each role's metric, of the draws that PGR is of."""
    summary = summarise_share if found.share else summarise
    return [summary(float(value), own, examples, _LEVEL) for value, own in zip(found.values, drawn, strict=True)]


def _classes(arms: Sequence[Arm]) -> list[Predictions]:
    return [arm for arm in arms if isinstance(arm, Predictions)]


def _beside(students: Sequence[Predictions], supervisors: Sequence[Predictions]) -> Beside | None:
    if not students:
        return None
    truth = np.concatenate([arm.labels for arm in students])
    student, supervisor = (np.concatenate([arm.predictions for arm in arms]) for arms in (students, supervisors))
    return Beside(
        agreement(student, supervisor, truth),
        mcnemar(student == truth, supervisor == truth),
        calibration(_confidence(supervisors), supervisor == truth),
        calibration(_confidence(students), student == truth),
    )


def _confidence(arms: Sequence[Predictions]) -> NDArray[np.float32]:
    return np.concatenate([softmax(arm.logits).max(axis=1) for arm in arms])
