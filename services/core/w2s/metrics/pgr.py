"""Performance gap recovered, with a status and a paired bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.proportion import Interval

_Number = TypeVar("_Number", float, NDArray[np.float64])

# Replicates resampled at once: bounds memory at about this many times S * N numbers.
_CHUNK = 64


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
    weak: NDArray[np.bool_],
    student: NDArray[np.bool_],
    ceiling: NDArray[np.bool_],
    *,
    same_model: bool = False,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Pgr:
    """PGR in accuracy, with a percentile interval from a paired bootstrap.

    Each replicate draws seeds and examples with replacement, the same ones for the three
    models, so that what they share cancels. The gap counts as noise when more than
    (1 - level) / 2 of the replicates have none (ceiling <= weak); at 95 % that is about a
    gap within two standard errors. The few gapless replicates of a sound gap are left out
    of the percentiles.

    Args:
        weak: Whether the supervisor is right, shape [S, N] (S seeds, N examples).
        student: Whether the student is right, shape [S, N].
        ceiling: Whether the ceiling is right, shape [S, N].
        same_model: Weak model and ceiling are one model.
        replicates: Bootstrap replicates, >= 100.
        level: The interval's coverage, in (0, 1).
        seed: Seeds the bootstrap.

    Raises:
        ValueError: The shapes differ, or there is no example.
    """
    arms = np.stack([weak, student, ceiling]).astype(np.float64)
    if arms.ndim != 3 or arms.size == 0:
        raise ValueError(f"each argument must be [seeds, examples] and not empty, got {np.shape(weak)}")
    if same_model:
        return Pgr(None, None, PgrStatus.SAME_MODEL)
    mean_weak, mean_student, mean_ceiling = arms.mean(axis=(1, 2))
    if mean_ceiling <= mean_weak:
        return Pgr(None, None, PgrStatus.UNDEFINED_GAP)
    means = _bootstrap_means(arms, replicates, np.random.default_rng(seed))
    gapped = means[2] > means[0]
    tail = (1 - level) / 2
    if 1 - gapped.mean() > tail:
        return Pgr(None, None, PgrStatus.GAP_BELOW_NOISE)
    ratios = performance_gap_recovered(means[0][gapped], means[1][gapped], means[2][gapped])
    low, high = np.quantile(ratios, [tail, 1 - tail])
    value = performance_gap_recovered(float(mean_weak), float(mean_student), float(mean_ceiling))
    return Pgr(value, Interval(float(low), float(high), level), PgrStatus.OK)


def _bootstrap_means(arms: NDArray[np.float64], replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean of each arm in each replicate, shape [3, replicates], from arms [3, S, N]."""
    _, seeds, examples = arms.shape
    means = []
    for start in range(0, replicates, _CHUNK):
        size = min(_CHUNK, replicates - start)
        drawn = arms[:, rng.integers(seeds, size=(size, seeds))].mean(axis=2)
        picks = rng.integers(examples, size=(size, examples))
        means.append(np.take_along_axis(drawn, picks[None], axis=2).mean(axis=2))
    return np.concatenate(means, axis=1)
