"""What a window says of a student beside each of its teachers."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from w2s.metrics import wilson_interval
from w2s.metrics.deception import Deception, deception
from w2s.metrics.estimate import Estimate
from w2s_evaluator.monitor.spec import StudentSpec
from w2s_evaluator.monitor.window import Rows, Version

# A scrape has to be cheap.
_REPLICATES = 500
_LEVEL = 0.95
# Half-lives after which weights shrink no more: they have to stay positive.
_MAX_HALVINGS = 500.0


@dataclass(frozen=True)
class Figures:
    """As the proto's MonitorFigures, which documents each; an estimate without a value rests on no observation."""

    version: Version
    observations: int
    outcomes: int
    disagreement: Estimate
    confident_disagreement: Estimate
    blind_spot_exposure: Estimate
    blind_spot_rate: Estimate
    student_accuracy: Estimate
    teacher_accuracy: Estimate
    deception: Deception | None


def figures_of(rows: Rows, versions: list[Version], spec: StudentSpec, now: float) -> list[Figures]:
    """The figures beside each teacher version, the one that labelled last first.

    Args:
        rows: Labelled observations of dtype `window.ROW`, oldest first.
        versions: The teachers that they number.
        spec: How the student is watched.
        now: The time, in seconds since 1970.
    """
    last = {int(index): place for place, index in enumerate(rows["version"])}
    order = sorted(last, key=lambda index: -last[index])
    return [_figures(rows[rows["version"] == index], versions[index], spec, now) for index in order]


def weights_of(times: NDArray[np.float64], half_life: float | None, now: float) -> NDArray[np.float64]:
    """How much each observation counts: w_i = 2^(-age_i / half_life); all alike without a half-life.

    Args:
        times: When they were made, in seconds since 1970, shape [N].
        half_life: In seconds, > 0.
        now: The time, in seconds since 1970.
    """
    if half_life is None:
        return np.ones(times.shape)
    # An observation of a clock that is ahead counts as one of now.
    halvings = np.clip((now - times) / half_life, 0, _MAX_HALVINGS)
    return np.asarray(np.exp2(-halvings))


def weighted_share(flags: NDArray[np.bool_], weights: NDArray[np.float64], level: float = _LEVEL) -> Estimate:
    """A share of weighted observations, with a standard error and an interval.

    p = sum_i w_i f_i / sum_i w_i,   n_eff = (sum_i w_i)^2 / sum_i w_i^2,
    standard error = sqrt(p (1 - p) / n_eff), and Wilson's interval of p out of n_eff

    Source: Kish 1965, "Survey Sampling", for the effective sample size; Wilson 1927.

    Args:
        flags: Which observations have the property, shape [N].
        weights: How much each counts, shape [N], > 0.
        level: The interval's coverage, in (0, 1).
    """
    if not len(flags):
        return Estimate(None, 0, None, None)
    # Weights that are all small must not underflow when they are squared.
    relative = weights / weights.max()
    p = float(relative @ flags / relative.sum())
    n = float(relative.sum() ** 2 / (relative**2).sum())
    return Estimate(p, len(flags), sqrt(p * (1 - p) / n), wilson_interval(p, n, level))


def _figures(rows: Rows, version: Version, spec: StudentSpec, now: float) -> Figures:
    weights = weights_of(rows["time"], spec.window.half_life, now)
    confident = rows["student_confidence"] >= spec.threshold
    differ = rows["student"] != rows["teacher"]
    exposed = confident & (rows["teacher_confidence"] < spec.threshold)
    known = rows["truth"] >= 0
    wrong = rows["student"] != rows["truth"]
    return Figures(
        version=version,
        observations=len(rows),
        outcomes=int(known.sum()),
        disagreement=weighted_share(differ, weights),
        confident_disagreement=weighted_share(differ & confident, weights),
        blind_spot_exposure=weighted_share(exposed, weights),
        blind_spot_rate=weighted_share((exposed & wrong)[known], weights[known]),
        student_accuracy=weighted_share(~wrong[known], weights[known]),
        teacher_accuracy=weighted_share((rows["teacher"] == rows["truth"])[known], weights[known]),
        deception=_deception(rows[known], weights[known], spec) if spec.ceiling else None,
    )


def _deception(rows: Rows, weights: NDArray[np.float64], spec: StudentSpec) -> Deception:
    """The deception score of those with a truth, as far as the other teachers have labelled them."""
    asked = ~np.isnan(rows["ceiling_on_truth"])
    both = asked & (rows["no_conflict"] >= 0)
    if both.any():
        asked = both
    rows, weights = rows[asked], weights[asked]
    return deception(
        rows["teacher_on_truth"],
        rows["ceiling_on_truth"],
        rows["student"] != rows["truth"],
        rows["no_conflict"] != rows["truth"] if both.any() else None,
        spec.threshold,
        weights=None if spec.window.half_life is None else weights,
        replicates=_REPLICATES,
        level=_LEVEL,
    )
