"""Shares of examples, such as accuracy, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """A range [low, high] that covers the true value with probability `level`."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Proportion:
    """A share of `n` examples; `value` and `interval` are None when n is 0."""

    value: float | None
    interval: Interval | None
    n: int


def wilson(successes: int, n: int, level: float = 0.95) -> Proportion:
    """A share with its Wilson score interval.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)

    Source: Wilson 1927. Unlike p +- z sqrt(p(1-p)/n) it stays in [0, 1] and has a width
    when p is 0 or 1.

    Args:
        successes: How many, in [0, n].
        n: Out of how many, >= 0.
        level: The coverage, in (0, 1).

    Raises:
        ValueError: `successes` is outside [0, n].
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in [0, {n}], got {successes}")
    if n == 0:
        return Proportion(None, None, 0)
    p = successes / n
    return Proportion(p, wilson_interval(p, n, level), n)


def wilson_interval(p: float, n: float, level: float = 0.95) -> Interval:
    """The Wilson score interval of a share, as `wilson`.

    Args:
        p: The share, in [0, 1].
        n: Out of how many, > 0; an effective sample size need not be whole.
        level: The coverage, in (0, 1).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At p = 0 and p = 1 an end is p exactly; rounding must not push it past.
    return Interval(max(0.0, min(p, center - half)), min(1.0, max(p, center + half)), level)
