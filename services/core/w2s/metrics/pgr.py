"""Performance gap recovered, with a status and a paired bootstrap interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.bootstrap import bootstrap_seed_means
from w2s.metrics.directions import Direction
from w2s.metrics.proportion import Interval

_Number = TypeVar("_Number", float, NDArray[np.float64])
_Values = NDArray[np.floating] | NDArray[np.bool_]


class PgrStatus(StrEnum):
    """Whether a PGR means anything."""

    OK = "OK"
    UNDEFINED_GAP = "UNDEFINED_GAP"
    GAP_BELOW_NOISE = "GAP_BELOW_NOISE"
    SAME_MODEL = "SAME_MODEL"


@dataclass(frozen=True)
class Pgr:
    """PGR; `value` and `interval` are set only when the status is OK."""

    value: float | None
    interval: Interval | None
    status: PgrStatus


@dataclass(frozen=True)
class MedianPgr:
    """The median of several PGRs.

    Attributes:
        value: The median of those whose status is OK; None when none is.
        n_ok: How many are.
        n_total: How many there are in all.
    """

    value: float | None
    n_ok: int
    n_total: int


def performance_gap_recovered(weak: _Number, student: _Number, ceiling: _Number) -> _Number:
    """The share of the weak-to-ceiling gap that the student closes.

    PGR = (student - weak) / (ceiling - weak)

    Source: Burns et al. 2023, section 3. For a metric where lower is better the signs
    cancel and the same ratio holds.

    Args:
        weak: The supervisor's performance; a number, or an array for many at once.
        student: The student's performance, trained on the supervisor's labels.
        ceiling: The student's performance, trained on ground truth.

    Raises:
        ZeroDivisionError: There is no gap; `pgr` guards against it.
    """
    return (student - weak) / (ceiling - weak)


def pgr(
    weak: _Values,
    student: _Values,
    ceiling: _Values,
    *,
    direction: Direction = Direction.HIGHER,
    same_model: bool = False,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Pgr:
    """PGR in any metric that is a mean over examples, with a paired bootstrap interval.

    Each replicate draws seeds and examples with replacement, the same ones for the three
    models, so that what they share cancels. There is a gap where the ceiling is better
    than the weak model, which `direction` says the sign of. The gap counts as noise when
    more than (1 - level) / 2 of the replicates have none; at 95 % that is about a gap
    within two standard errors. The few gapless replicates of a sound gap are left out of
    the percentiles.

    Args:
        weak: The supervisor's metric, shape [S, N] (S seeds, N examples): whether it is
            right, for PGR in accuracy, or a finite number, such as a loss.
        student: The student's, shape [S, N].
        ceiling: The ceiling's, shape [S, N].
        direction: Which way the metric gets better.
        same_model: Weak model and ceiling are one model.
        replicates: Bootstrap replicates, >= 100.
        level: The interval's coverage, in (0, 1).
        seed: Seeds the bootstrap.

    Raises:
        ValueError: The shapes differ, there is no example, or a number is not finite.
    """
    arms = np.stack([weak, student, ceiling]).astype(np.float64)
    if arms.ndim != 3 or arms.size == 0 or not np.isfinite(arms).all():
        raise ValueError(f"each argument must be [seeds, examples], finite and not empty, got {np.shape(weak)}")
    drawn = bootstrap_seed_means(arms, replicates, seed)
    return pgr_of_draws(arms.mean(axis=(1, 2)), drawn, direction=direction, same_model=same_model, level=level)


def pgr_of_draws(
    values: NDArray[np.float64],
    drawn: NDArray[np.float64],
    *,
    direction: Direction = Direction.HIGHER,
    same_model: bool = False,
    level: float = 0.95,
) -> Pgr:
    """PGR in any metric, from its bootstrap replicates; what counts as a gap is in `pgr`.

    Args:
        values: The supervisor's metric, the student's and the ceiling's, shape [3].
        drawn: The same in each replicate, paired, shape [3, R].
        direction: Which way the metric gets better.
        same_model: Weak model and ceiling are one model.
        level: The interval's coverage, in (0, 1).
    """
    if same_model:
        return Pgr(None, None, PgrStatus.SAME_MODEL)
    better = np.greater if direction is Direction.HIGHER else np.less
    weak, student, ceiling = map(float, values)
    if not better(ceiling, weak):
        return Pgr(None, None, PgrStatus.UNDEFINED_GAP)
    gapped = better(drawn[2], drawn[0])
    tail = (1 - level) / 2
    if 1 - gapped.mean() > tail:
        return Pgr(None, None, PgrStatus.GAP_BELOW_NOISE)
    low, high = np.quantile(performance_gap_recovered(*drawn[:, gapped]), [tail, 1 - tail])
    value = performance_gap_recovered(weak, student, ceiling)
    return Pgr(value, Interval(float(low), float(high), level), PgrStatus.OK)


def median_pgr(found: Iterable[Pgr]) -> MedianPgr:
    """The median over seeds, model pairs or datasets whose PGR is OK.

    Source: Burns et al. 2023; their published notebook drops what has no gap and weak
    models that are the ceiling, and takes the median of the rest.
    """
    every = list(found)
    values = [one.value for one in every if one.value is not None]
    return MedianPgr(float(np.median(values)) if values else None, len(values), len(every))
