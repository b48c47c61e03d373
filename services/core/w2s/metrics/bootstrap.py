"""The bootstrap: how far a figure would move with other examples of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import floor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.estimate import Estimate
from w2s.metrics.proportion import Interval, wilson

# Maps how often each example was drawn, float64 [R, D], to the figure of each of the R
# draws, float64 [R]; NaN where it is undefined.
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_Scalar = TypeVar("_Scalar", bound=np.generic)

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
            drawn = np.stack([np.bincount(rng.integers(kinds, size=kinds), minlength=kinds) for _ in range(rows)])
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
    columns, counts = kinds(series)
    sums = [drawn @ columns.T for drawn in resamples(counts, replicates, seed)]
    return np.asarray(np.concatenate(sums).T / examples)


def bootstrap_seed_means(
    values: NDArray[np.floating] | NDArray[np.bool_], replicates: int, seed: int
) -> NDArray[np.float64]:
    """The means of K models over the same seeds and examples in each bootstrap replicate.

    Paired, as `bootstrap_means`; each replicate draws S seeds of S with replacement too.

    Args:
        values: Shape [K, S, N] (S seeds, N examples), any real dtype; S, N >= 1.
        replicates: How many replicates, >= 1.
        seed: Determines the draws, together with the values.

    Returns:
        Float64 [K, replicates].
    """
    models, seeds, examples = values.shape
    means = bootstrap_means(values.reshape(models * seeds, examples), replicates, seed)
    return _over_seeds(means.reshape(models, seeds, replicates), seed)


def bootstrap_seed_statistics(
    statistics: Sequence[Sequence[Statistic]], counts: NDArray[np.integer], replicates: int, seed: int
) -> NDArray[np.float64]:
    """As `bootstrap_seed_means`, of figures that are no means over examples.

    Args:
        statistics: The figure of each of K models and S seeds from how often each of D kinds of examples
            occurs, [R, D] to [R].
        counts: How many examples of each kind there are, shape [D], as in `resamples`.
        replicates: How many replicates, >= 1.
        seed: Determines the draws, together with the counts.

    Returns:
        Float64 [K, replicates].
    """
    drawn = [
        np.stack([[statistic(weights) for statistic in model] for model in statistics])
        for weights in resamples(counts, replicates, seed)
    ]
    return _over_seeds(np.concatenate(drawn, axis=2), seed)


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
    if weights is None:
        drawn = bootstrap_means(series[None], replicates, seed)[0]
    else:
        part, whole = bootstrap_means(np.stack([weight * series, weight]), replicates, seed)
        drawn = part / whole
    # Rounding must not push a mean of equal values past them.
    value = np.clip(np.average(series, weights=weight), series.min(), series.max())
    if np.isin(series, (0, 1)).all():
        return summarise_share(
            float(value), drawn, series.size, level, effective_size(float(weight.sum()), float(weight @ weight))
        )
    return summarise(float(value), drawn, series.size, level)


def estimate(
    statistic: Statistic,
    counts: NDArray[np.integer],
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Any figure that can be had from how often each example occurs.

    Arguments as `estimates`.
    """
    (found,) = estimates({"": statistic}, counts, replicates=replicates, level=level, seed=seed).values()
    return found


def estimates(
    statistics: Mapping[str, Statistic],
    counts: NDArray[np.integer],
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Several figures of the same examples, of the same draws.

    Args:
        statistics: Each figure from counts, [R, D] to [R], NaN where undefined.
        counts: How often each of D kinds of examples occurs in the data, shape [D];
            all ones where each example is a kind of its own.
        replicates: Bootstrap replicates, >= 1.
        level: The intervals' coverage, in (0, 1).
        seed: Seeds the bootstrap.
    """
    examples = int(counts.sum())
    if examples == 0:
        return dict.fromkeys(statistics, Estimate(None, 0, None, None))
    data = counts[None].astype(np.float64)
    values = {name: float(statistic(data)[0]) for name, statistic in statistics.items()}
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for weights in resamples(counts, replicates, seed):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    return {name: summarise(value, np.concatenate(drawn[name]), examples, level) for name, value in values.items()}


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
        value: The figure; NaN where it is undefined.
        drawn: The figure in each replicate, shape [R]; NaN where undefined.
        n: How many examples the figure is of.
        level: The interval's coverage, in (0, 1).
    """
    if np.isnan(value):
        return Estimate(None, n, None, None)
    defined = drawn[~np.isnan(drawn)]
    if n < 2 or defined.size < 2:
        return Estimate(float(value), n, None, None)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    interval = Interval(float(min(low, value)), float(max(high, value)), level)
    return Estimate(float(value), n, float(defined.std(ddof=1)), interval)


def summarise_share(
    value: float, drawn: NDArray[np.float64], n: int, level: float, effective: int | None = None
) -> Estimate:
    """As `summarise`, of a share.

    A share of 0 or 1 is that in every replicate; its interval is Wilson's, which has a
    width, and not the bootstrap's, which has none.

    Args:
        value: The share, in [0, 1].
        drawn: The share in each replicate, shape [R]; NaN where undefined.
        n: How many examples it is a share of.
        level: The interval's coverage, in (0, 1).
        effective: How many alike examples its weighted ones are worth; n when None.
    """
    found = summarise(value, drawn, n, level)
    if value not in {0, 1}:
        return found
    size = n if effective is None else effective
    return Estimate(found.value, n, found.standard_error, wilson(round(value * size), size, level).interval)


def effective_size(weight: float, square: float) -> int:
    """How many alike examples weighted ones are worth: (sum_i w_i)^2 / sum_i w_i^2, rounded down.

    Source: Kish 1965, "Survey Sampling".

    Args:
        weight: sum_i w_i, > 0.
        square: sum_i w_i^2, > 0.
    """
    # What a quotient of equal weights lacks to a whole number is rounding.
    return floor(weight * weight / square + 1e-9)


def kinds(series: NDArray[_Scalar]) -> tuple[NDArray[_Scalar], NDArray[np.intp]]:
    """Distinct columns and how often each occurs; the columns themselves where that saves nothing.

    Args:
        series: What several models made of the same examples, shape [K, N].

    Returns:
        The columns, shape [K, D], and their counts, shape [D].
    """
    columns, counts = np.unique(series, axis=1, return_counts=True)
    if columns.shape[1] * _BINOMIAL_COST <= series.shape[1]:
        return columns, counts
    return series, np.ones(series.shape[1], dtype=np.intp)


def _over_seeds(figures: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means over seeds drawn anew in each replicate, from [K, S, R] to [K, R]."""
    seeds, replicates = figures.shape[1:]
    # Another stream than the examples', which begins at the same seed.
    drawn = np.random.default_rng([seed, 1]).multinomial(seeds, np.full(seeds, 1 / seeds), size=replicates)
    return np.asarray(np.einsum("ksr,rs->kr", figures, drawn) / seeds)
