"""The bootstrap: how far a figure would move with other examples of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.estimate import Estimate
from w2s.metrics.proportion import Interval, wilson

# Maps how often each example was drawn, float64 [R, D], to the figure of each of the R
# draws, float64 [R]; NaN where it is undefined.
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Counts held at once. So few stay in the processor's cache, which is why it is quick.
_CELLS = 1 << 17

# A binomial draw costs about as much as counting this many examples one by one.
_BINOMIAL_COST = 16


def resamples(counts: NDArray[np.integer], replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of D kinds of examples occurs in each bootstrap replicate.

    A replicate draws N examples from N with replacement, so that the counts are
    Multinomial(N, counts / N). Exact, where Poisson(1) weights would let N vary. Where
    no two examples are alike it counts N uniform draws; kinds that hold many examples
    cost one binomial draw each, whatever N is.

    Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife".

    Args:
        counts: How many examples of each kind there are, shape [D], integers >= 0 whose
            sum is N >= 1. All ones where each example is a kind of its own.
        replicates: How many replicates, >= 1.
        seed: Determines the draws, together with the counts.

    Yields:
        Chunks of float64 [R, D], R replicates each, whose rows sum to N.
    """
    rng = np.random.default_rng(seed)
    kinds, examples, singles = len(counts), int(counts.sum()), bool((counts == 1).all())
    size = max(1, _CELLS // kinds)
    for start in range(0, replicates, size):
        rows = min(size, replicates - start)
        if singles:
            picks = rng.integers(kinds, size=(rows, kinds)) + kinds * np.arange(rows)[:, None]
            drawn = np.bincount(picks.ravel(), minlength=rows * kinds).reshape(rows, kinds)
        else:
            drawn = rng.multinomial(examples, counts / examples, size=rows)
        yield drawn.astype(np.float64)


def bootstrap_means(
    values: NDArray[np.floating] | NDArray[np.bool_], replicates: int, seed: int
) -> NDArray[np.float64]:
    """The means of K series over the same examples in each bootstrap replicate.

    Paired: each replicate draws the same examples for all series. Examples with equal
    values are drawn as one kind, which is exact, and makes shares nearly free.

    Args:
        values: Shape [K, N], any real dtype; N >= 1.
        replicates: How many replicates, >= 1.
        seed: Determines the draws, together with the values.

    Returns:
        Float64 [K, replicates].
    """
    series = np.asarray(values, dtype=np.float64)
    examples = series.shape[1]
    kinds, counts = _kinds(series)
    sums = [drawn @ kinds.T for drawn in resamples(counts, replicates, seed)]
    return np.asarray(np.concatenate(sums).T / examples)


def estimate_mean(
    values: NDArray[np.floating] | NDArray[np.bool_],
    *,
    weights: NDArray[np.floating] | None = None,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The mean, sum_i w_i v_i / sum_i w_i, with its standard error and bootstrap interval.

    Args:
        values: Shape [N], bool or any real dtype, finite.
        weights: How much each example counts, shape [N], > 0; all alike when None.
        replicates: Bootstrap replicates, >= 1.
        level: The interval's coverage, in (0, 1).
        seed: Seeds the bootstrap.

    Raises:
        ValueError: A value is not finite, a weight not positive, or the shapes do not fit.
    """
    series = np.asarray(values, dtype=np.float64)
    weight = np.ones(series.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if series.ndim != 1 or weight.shape != series.shape or not np.isfinite(series).all() or not (weight > 0).all():
        raise ValueError(f"values must be [examples] and finite, weights likewise and positive, got {series.shape}")
    if series.size == 0:
        return Estimate(None, 0, None, None)
    part, whole = bootstrap_means(np.stack([weight * series, weight]), replicates, seed)
    summary = summarise_share if np.isin(series, (0, 1)).all() else summarise
    # Rounding must not push a mean of equal values past them.
    value = np.clip(np.average(series, weights=weight), series.min(), series.max())
    return summary(float(value), part / whole, series.size, level)


def estimate(
    statistic: Statistic,
    counts: NDArray[np.integer],
    *,
    n: int | None = None,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Any figure that can be had from how often each example occurs.

    Args:
        statistic: The figure from counts, [R, D] to [R], NaN where undefined.
        counts: How often each of D kinds of examples occurs in the data, shape [D];
            all ones where each example is a kind of its own.
        n: How many examples the figure is of; the sum of counts when None.
        replicates: Bootstrap replicates, >= 1.
        level: The interval's coverage, in (0, 1).
        seed: Seeds the bootstrap.
    """
    examples = int(counts.sum())
    size = examples if n is None else n
    value = float(statistic(counts[None].astype(np.float64))[0]) if examples else np.nan
    if np.isnan(value):
        return Estimate(None, size, None, None)
    drawn = np.concatenate([statistic(weights) for weights in resamples(counts, replicates, seed)])
    return summarise(value, drawn, size, level)


def quotient(part: NDArray[np.float64], whole: NDArray[np.float64], otherwise: float = np.nan) -> NDArray[np.float64]:
    """part / whole element by element, and `otherwise` where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0))


def summarise(value: float, drawn: NDArray[np.float64], n: int, level: float) -> Estimate:
    """An estimate from a value and its bootstrap replicates.

    The interval runs from the (1 - level) / 2 quantile to the (1 + level) / 2 quantile.
    It is stretched to the value where a figure that noise can only raise, such as a
    calibration error, has replicates all to one side. Replicates in which the figure is
    undefined are left out.

    Args:
        value: The figure, finite.
        drawn: The figure in each replicate, shape [R]; NaN where undefined.
        n: How many examples the figure is of.
        level: The interval's coverage, in (0, 1).
    """
    defined = drawn[~np.isnan(drawn)]
    if n < 2 or defined.size < 2:
        return Estimate(float(value), n, None, None)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    interval = Interval(float(min(low, value)), float(max(high, value)), level)
    return Estimate(float(value), n, float(defined.std(ddof=1)), interval)


def summarise_share(value: float, drawn: NDArray[np.float64], n: int, level: float) -> Estimate:
    """As `summarise`, of a share.

    A share of 0 or 1 is that in every replicate; its interval is Wilson's, which has a
    width, and not the bootstrap's, which has none.

    Args:
        value: The share, in [0, 1].
        drawn: The share in each replicate, shape [R]; NaN where undefined.
        n: How many examples it is a share of.
        level: The interval's coverage, in (0, 1).
    """
    found = summarise(value, drawn, n, level)
    if value not in {0, 1}:
        return found
    return Estimate(found.value, n, found.standard_error, wilson(round(value * n), n, level).interval)


def _kinds(series: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distinct columns and how often each occurs; the columns themselves where that saves nothing."""
    columns, counts = np.unique(series, axis=1, return_counts=True)
    if columns.shape[1] * _BINOMIAL_COST <= series.shape[1]:
        return columns, counts
    return series, np.ones(series.shape[1], dtype=np.intp)
