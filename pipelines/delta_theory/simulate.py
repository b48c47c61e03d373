"""The experiment itself: one gradient, and how the student's cosine changes along it."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel

from pipelines.delta_theory.plan import Plan
from w2s.theory.delta import (
    Setting,
    best_cosine,
    cosines_along,
    draw_vectors,
    limit_cosine,
    preference_step,
    tuning_step,
)

_POINTS_KEPT = 61


class Curve(BaseModel):
    """A method in one regime: means over seeds.

    Attributes:
        best: The best cosine, at a time that only an oracle knows.
        spread: Lowest and highest best of the seeds.
        slope: Of the cosine at the start, a unit of time.
        times: Times of the curve.
        cosines: The student's cosine with the truth at each.
    """

    best: float
    spread: tuple[float, float]
    slope: float
    times: list[float]
    cosines: list[float]


class Regime(BaseModel):
    """What happens in one setting; the closed form is for independent errors, and null otherwise."""

    student: float
    chosen: float
    rejected: float
    shared: float
    preferences: Curve
    tuning: Curve
    theory_best: float | None
    theory_limit: float | None


def simulate(plan: Plan) -> list[Regime]:
    """Every regime of a plan."""
    return [_regime(plan, setting) for setting in plan.settings]


def _regime(plan: Plan, setting: Setting) -> Regime:
    times = np.linspace(0, plan.walk.length, plan.walk.points)
    curves: dict[str, list[np.ndarray]] = {"preferences": [], "tuning": []}
    for seed in plan.seeds:
        rng = np.random.default_rng(seed)
        vectors = draw_vectors(setting, plan.space.dimensions, rng)
        inputs = rng.standard_normal((plan.space.inputs, plan.space.dimensions))
        curves["preferences"].append(cosines_along(vectors, preference_step(vectors, inputs), times))
        curves["tuning"].append(cosines_along(vectors, tuning_step(vectors, inputs), times))
    independent = setting.shared == 0
    return Regime(
        student=setting.student,
        chosen=setting.chosen,
        rejected=setting.rejected,
        shared=setting.shared,
        preferences=_curve(times, curves["preferences"]),
        tuning=_curve(times, curves["tuning"]),
        theory_best=best_cosine(setting) if independent else None,
        theory_limit=limit_cosine(setting) if independent else None,
    )


def _curve(times: np.ndarray, curves: list[np.ndarray]) -> Curve:
    mean = np.mean(curves, axis=0)
    best = [float(curve.max()) for curve in curves]
    kept = np.unique(np.linspace(0, len(times) - 1, _POINTS_KEPT).astype(int))
    return Curve(
        best=float(np.mean(best)),
        spread=(min(best), max(best)),
        slope=float((mean[1] - mean[0]) / (times[1] - times[0])),
        times=times[kept].tolist(),
        cosines=mean[kept].tolist(),
    )
