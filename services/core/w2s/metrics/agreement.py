"""Student-supervisor agreement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.proportion import Proportion, wilson


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


def _share(flags: NDArray[np.bool_]) -> Proportion:
    return wilson(int(flags.sum()), int(flags.size))
