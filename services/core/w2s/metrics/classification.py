"""Figures of classifiers, from probabilities and true classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.bootstrap import Statistic, estimate_mean, estimates, quotient
from w2s.metrics.calibration import CALIBRATION_BINS, calibration_bins
from w2s.metrics.estimate import Estimate


def correct(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the most probable class is the true one, shape [N]; of equal ones the first counts."""
    return np.asarray(probabilities.argmax(axis=1) == labels)


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """-ln p_i,y_i in nats, shape [N].

    A probability below the rounding of its type (2^-52 for float64, 2^-23 for float32)
    is taken as that: one that was rounded to 0 is not infinitely wrong.

    Args:
        probabilities: Shape [N, C], rows summing to 1.
        labels: The true classes, shape [N], integers in [0, C).
    """
    smallest = np.finfo(probabilities.dtype).eps
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(of_truth, smallest, 1)))


def brier_score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """sum_c (p_ic - [y_i = c])^2, shape [N], in [0, 2].

    Source: Brier 1950, as he gave it: summed over all classes, also of two.

    Args:
        probabilities: Shape [N, C], rows summing to 1.
        labels: The true classes, shape [N], integers in [0, C).
    """
    off = np.array(probabilities, dtype=np.float64)
    off[np.arange(len(labels)), labels] -= 1
    return np.asarray(np.square(off).sum(axis=1))


# Metrics that are means over examples.
PER_EXAMPLE = {"accuracy": correct, "nll": negative_log_likelihood, "brier": brier_score}


def classification_metrics(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Every figure of a classifier, with its uncertainty.

    - accuracy: mean_i [argmax p_i = y_i].
    - balanced_accuracy: mean recall of the classes that occur (Brodersen et al. 2010).
    - weighted_f1: sum_c N_c/N 2 TP_c / (2 TP_c + FP_c + FN_c).
    - auroc: P(s_i > s_j) + P(s_i = s_j)/2 for i of the class and j not (Hanley and McNeil
      1982). Of two classes s is the probability of class 1; of more it is the mean over
      classes, each against the rest. Undefined where a class has no example.
    - nll: mean_i -ln p_iy, in nats.
    - brier: mean_i sum_c (p_ic - [y_i = c])^2, in [0, 2].
    - ece: sum_m |B_m|/N |acc(B_m) - conf(B_m)| over 15 bins ((m-1)/15, m/15] of the
      predicted class's probability (Guo et al. 2017).

    Time grows with N * replicates, for the AUROC of more than two classes also with C:
    10^5 examples and 2,000 replicates take seconds.

    Args:
        probabilities: Shape [N, C], in [0, 1], rows summing to 1; C >= 2.
        labels: The true classes, shape [N], integers in [0, C).
        replicates: Bootstrap replicates, >= 1.
        level: The intervals' coverage, in (0, 1).
        seed: Seeds the bootstrap.

    Returns:
        Estimates by name, in the order above.

    Raises:
        ValueError: A probability or a label is outside its range, or the shapes do not fit.
    """
    _check(probabilities, labels)
    figures = partial(estimates, replicates=replicates, level=level, seed=seed)
    classes = probabilities.shape[1]
    # Examples of one true and one predicted class are alike to what counts confusions.
    cells, counts = np.unique(labels * np.int64(classes) + probabilities.argmax(axis=1), return_counts=True)
    of_confusions = {name: of(cells, classes) for name, of in OF_CONFUSIONS.items()}
    of_probabilities = {
        "auroc": auroc(probabilities, labels),
        "nll": _mean(negative_log_likelihood(probabilities, labels)),
        "brier": _mean(brier_score(probabilities, labels)),
        "ece": _calibration_error(probabilities, labels),
    }
    right = correct(probabilities, labels)
    return {
        "accuracy": estimate_mean(right, replicates=replicates, level=level, seed=seed),
        **figures(of_confusions, counts),
        **figures(of_probabilities, np.ones(len(labels), dtype=np.intp)),
    }


def auroc(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Statistic:
    """AUROC as a statistic of how often each example occurs, for `bootstrap.estimate`.

    As in `classification_metrics`; NaN where a class has no example.
    """
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    each = [_auroc_against_rest(probabilities[:, c], labels == c) for c in classes]
    return lambda drawn: np.mean([statistic(drawn) for statistic in each], axis=0)


def _check(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"probabilities must be [examples, classes >= 2] and labels [examples], "
            f"got {probabilities.shape} and {labels.shape}"
        )
    # A float32 softmax can be a rounding past 1.
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-5)).all():
        raise ValueError("probabilities must be in [0, 1]")
    if ((labels < 0) | (labels >= probabilities.shape[1])).any():
        raise ValueError(f"labels must be in [0, {probabilities.shape[1] - 1}]")


def _balanced_accuracy(cells: NDArray[np.int64], classes: int) -> Statistic:
    truth, _, hit = _confusion(cells, classes)

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.nanmean(quotient(drawn @ hit, drawn @ truth), axis=1))

    return statistic


def _weighted_f1(cells: NDArray[np.int64], classes: int) -> Statistic:
    truth, predicted, hit = _confusion(cells, classes)

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        support = drawn @ truth
        f1 = quotient(2 * drawn @ hit, support + drawn @ predicted, otherwise=0.0)
        return np.asarray((support * f1).sum(axis=1) / support.sum(axis=1))

    return statistic


def _confusion(
    cells: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of which class each cell is, and as which it is predicted, and both: 0 or 1, shape [D, C]."""
    truth, predicted = (np.eye(classes)[index] for index in np.divmod(cells, classes))
    return truth, predicted, truth * predicted


# Metrics of which class is taken for which: each a statistic of the examples of D cells, given as
# true class * classes + predicted class, shape [D], and of the number of classes.
OF_CONFUSIONS: dict[str, Callable[[NDArray[np.int64], int], Statistic]] = {
    "balanced_accuracy": _balanced_accuracy,
    "weighted_f1": _weighted_f1,
}


def _auroc_against_rest(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Statistic:
    positives, negatives = np.flatnonzero(positive), np.flatnonzero(~positive)
    negatives = negatives[np.argsort(scores[negatives])]
    # How many negatives each positive is above, and how many it is above or level with.
    above, level = (np.searchsorted(scores[negatives], scores[positives], side) for side in ("left", "right"))

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        hits = drawn[:, positives]
        misses = np.zeros((len(drawn), len(negatives) + 1))
        np.cumsum(drawn[:, negatives], axis=1, out=misses[:, 1:])
        won = (hits * (misses[:, above] + misses[:, level])).sum(axis=1) / 2
        return quotient(won, hits.sum(axis=1) * misses[:, -1])

    return statistic


def _calibration_error(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Statistic:
    confidence = probabilities.max(axis=1).astype(np.float64)
    excess = correct(probabilities, labels) - confidence
    # |B_m| (acc(B_m) - conf(B_m)) is the sum of a bin's excesses.
    by_bin = np.eye(CALIBRATION_BINS)[calibration_bins(confidence)] * excess[:, None]
    return lambda drawn: np.asarray(np.abs(drawn @ by_bin).sum(axis=1) / len(excess))


def _mean(values: NDArray[np.float64]) -> Statistic:
    return lambda drawn: np.asarray(drawn @ values / len(values))
