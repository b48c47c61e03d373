"""Student-supervisor agreement: where two models are right, and where they say the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.proportion import Proportion, wilson

# From here on the chi-square distribution is close enough.
_LARGE = 25


@dataclass(frozen=True)
class Agreement:
    """How often student and supervisor predict the same class.

    Attributes:
        overall: Over all examples.
        supervisor_right: Over those the supervisor has right.
        supervisor_wrong: Over those it has wrong: the errors that the student imitates.
    """

    overall: Proportion
    supervisor_right: Proportion
    supervisor_wrong: Proportion


def agreement(student: NDArray[np.integer], supervisor: NDArray[np.integer], truth: NDArray[np.integer]) -> Agreement:
    """Student-supervisor agreement, overall and split by whether the supervisor is right.

    mean_i [argmax S(x_i) = argmax W(x_i)], on test examples.

    Source: Burns et al. 2023, section 5.1.3 (imitation of the supervisor's errors).

    Args:
        student: Predicted classes, shape [N], integers.
        supervisor: Predicted classes, shape [N], integers.
        truth: True classes, shape [N], integers.
    """
    same = np.asarray(student) == np.asarray(supervisor)
    right = np.asarray(supervisor) == np.asarray(truth)
    return Agreement(_share(same), _share(same[right]), _share(same[~right]))


@dataclass(frozen=True)
class McNemar:
    """Are two models right on different examples more often one way than the other?

    Attributes:
        only_a: Examples that the first alone has right.
        only_b: Examples that the second alone has right.
        p_value: Two-sided, in [0, 1]; 1 when neither has any.
    """

    only_a: int
    only_b: int
    p_value: float


def mcnemar(a_correct: NDArray[np.bool_], b_correct: NDArray[np.bool_]) -> McNemar:
    """McNemar's test that two models have the same accuracy on the same examples.

    With b and c the examples that one alone has right:
    p = min(1, 2 P(X <= min(b, c))), X ~ Binomial(b + c, 1/2),      where b + c < 25;
    p = P(chi^2_1 >= (|b - c| - 1)^2 / (b + c)),                    elsewhere.

    Source: McNemar 1947; the continuity correction is Edwards' (1948).

    Args:
        a_correct: Whether the first model is right, shape [N].
        b_correct: Whether the second is, shape [N].

    Raises:
        ValueError: The shapes differ.
    """
    if np.shape(a_correct) != np.shape(b_correct):
        raise ValueError(f"both must be of the same examples, got {np.shape(a_correct)} and {np.shape(b_correct)}")
    only_a = int((a_correct & ~b_correct).sum())
    only_b = int((b_correct & ~a_correct).sum())
    return McNemar(only_a, only_b, _p_value(only_a, only_b))


def _p_value(b: int, c: int) -> float:
    n = b + c
    if n < _LARGE:
        return float(min(1, 2 * sum(comb(n, i) for i in range(min(b, c) + 1)) / 2**n))
    # Two that differ by nothing are no evidence, whatever the correction takes off.
    return erfc(sqrt(max(abs(b - c) - 1, 0) ** 2 / n / 2))


def _share(flags: NDArray[np.bool_]) -> Proportion:
    return wilson(int(flags.sum()), int(flags.size))
