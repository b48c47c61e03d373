"""A metric of models that said something of the same examples, and how it would move with other examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts.tables import Answers, Predictions, softmax
from w2s.errors import InvalidArgument
from w2s.metrics import METRICS, OF_CONFUSIONS, PER_EXAMPLE, TOXIC, bootstrap_seed_means, bootstrap_seed_statistics
from w2s.metrics.bootstrap import kinds
from w2s_evaluator.comparisons.arms import Arm

# One number an example, shape [N].
Values = NDArray[np.floating] | NDArray[np.bool_]

# Those of the worst of several answers, which grow with their number.
OF_THE_WORST = ("expected_maximum_toxicity", "toxicity_probability")


def usual_metric(arm: Arm) -> str:
    """What is compared where nothing is said: accuracy; of answers what their first scorer measures."""
    return next(iter(arm.scores), "") if isinstance(arm, Answers) else "accuracy"


class Measured(Protocol):
    """A metric of K models and S seeds."""

    @property
    def values(self) -> NDArray[np.float64]:
        """The metric, a mean over seeds, shape [K]."""

    @property
    def share(self) -> bool:
        """Whether it is a share of examples."""

    def drawn(self, replicates: int, seed: int) -> NDArray[np.float64]:
        """The metric in each replicate, which draws seeds and examples, the same for all models; [K, replicates]."""

    def of_seed(self, index: int) -> Measured:
        """The metric of one seed by itself."""


class Means:
    """A metric that is a mean over examples.

    Args:
        examples: The metric of each example, shape [K, S, N].
    """

    def __init__(self, examples: NDArray[np.float64]) -> None:
        self._examples = examples
        self.values: NDArray[np.float64] = examples.mean(axis=(1, 2))
        self.share = bool(np.isin(examples, (0, 1)).all())

    def drawn(self, replicates: int, seed: int) -> NDArray[np.float64]:
        """As `Measured.drawn`."""
        return bootstrap_seed_means(self._examples, replicates, seed)

    def of_seed(self, index: int) -> Means:
        """As `Measured.of_seed`."""
        return Means(self._examples[:, [index]])


class OfConfusions:
    """A metric of which class is taken for which.

    Args:
        metric: One of `w2s.metrics.OF_CONFUSIONS`.
        cells: True class * classes + predicted class, shape [K, S, N].
        classes: How many there are.
    """

    share = False

    def __init__(self, metric: str, cells: NDArray[np.int64], classes: int) -> None:
        self._metric, self._cells, self._classes = metric, cells, classes
        models, seeds, examples = cells.shape
        columns, self._counts = kinds(cells.reshape(models * seeds, examples))
        statistics = [OF_CONFUSIONS[metric](column, classes) for column in columns]
        self._statistics = [statistics[start : start + seeds] for start in range(0, len(statistics), seeds)]
        data = self._counts[None].astype(np.float64)
        self.values = np.array([np.mean([one(data)[0] for one in model]) for model in self._statistics])

    def drawn(self, replicates: int, seed: int) -> NDArray[np.float64]:
        """As `Measured.drawn`."""
        return bootstrap_seed_statistics(self._statistics, self._counts, replicates, seed)

    def of_seed(self, index: int) -> OfConfusions:
        """As `Measured.of_seed`."""
        return OfConfusions(self._metric, self._cells[:, [index]], self._classes)


def measure(arms: Mapping[str, Sequence[Arm]], metric: str) -> Measured:
    """A metric of all arms.

    Args:
        arms: One of each seed, by role.
        metric: The metric.

    Raises:
        InvalidArgument: An arm does not have the metric.
    """
    for role, ones in arms.items():
        for index, arm in enumerate(ones):
            known = _metrics(arm)
            if metric not in known:
                held = f"what {role}[{index}] holds"
                raise InvalidArgument("metric", f"must be {' or '.join(known)} of {held}, got {metric!r}")
    if metric in OF_CONFUSIONS:
        cells = np.stack([[_cells(arm) for arm in ones if isinstance(arm, Predictions)] for ones in arms.values()])
        (classes,) = {arm.logits.shape[1] for ones in arms.values() for arm in ones if isinstance(arm, Predictions)}
        return OfConfusions(metric, cells, classes)
    return Means(np.stack([[_of_examples(arm, metric) for arm in ones] for ones in arms.values()]).astype(np.float64))


def _cells(arm: Predictions) -> NDArray[np.int64]:
    return np.asarray(arm.labels * np.int64(arm.logits.shape[1]) + arm.predictions)


def _of_examples(arm: Arm, metric: str) -> Values:
    """A metric of each example; its mean over examples is the metric of the model."""
    if isinstance(arm, Answers):
        return _of_answers(arm, metric)
    if metric == "accuracy":
        # The class was chosen by logits; rounding can make their probabilities equal.
        return np.asarray(arm.predictions == arm.labels)
    return np.asarray(PER_EXAMPLE[metric](softmax(arm.logits), arm.labels), dtype=np.float64)


def _metrics(arm: Arm) -> list[str]:
    if not isinstance(arm, Answers):
        return [*PER_EXAMPLE, *OF_CONFUSIONS]
    return [*(name for name in arm.scores if name in METRICS), *(OF_THE_WORST if "toxicity" in arm.scores else ())]


def _of_answers(arm: Answers, metric: str) -> Values:
    if metric not in OF_THE_WORST:
        return np.asarray(arm.scores[metric].mean(axis=1, dtype=np.float64))
    worst = arm.scores["toxicity"].max(axis=1)
    return worst if metric == OF_THE_WORST[0] else np.asarray(worst >= TOXIC)
