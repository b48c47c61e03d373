"""Delta learning in logistic regression (Geng et al. 2025, "The Delta Learning Hypothesis", the theorem's setting).

x ~ N(0, I_d); the truth of x is sign(w*.x). A student w_0 and two teachers w_c, w_r have cosines a_0, a_c, a_r with
w*. A preference pair of x has the answers y_c = sign(w_c.x) and y_r = sign(w_r.x), in {-1, 1}.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# Scales the residual of fine-tuning, so that the student is as sure of itself as a trained one.
_SURENESS = 4.0


@dataclass(frozen=True)
class Setting:
    """Who knows how much, and how much of what they get wrong they have in common.

    Attributes:
        student: cos(w_0, w*), in (-1, 1).
        chosen: cos(w_c, w*).
        rejected: cos(w_r, w*).
        shared: The cosine of each one's error with one direction that all share, in [0, 1): 0 for independent errors.
    """

    student: float
    chosen: float
    rejected: float
    shared: float = 0.0


@dataclass(frozen=True)
class Vectors:
    """The truth, the student and the teachers: unit vectors, shape [d] each."""

    truth: Vector
    student: Vector
    chosen: Vector
    rejected: Vector


def draw_vectors(setting: Setting, dimensions: int, rng: np.random.Generator) -> Vectors:
    """Vectors with the cosines of a setting.

    w_i = c_i w* + sqrt(1 - c_i^2) (rho v + sqrt(1 - rho^2) q_i), with w*, v and the q_i orthonormal.

    Args:
        setting: The cosines.
        dimensions: d >= 5.
        rng: Draws the directions.

    Raises:
        ValueError: There are too few dimensions.
    """
    if dimensions < 5:
        raise ValueError(f"needs 5 dimensions at least, got {dimensions}")
    basis, _ = np.linalg.qr(rng.standard_normal((dimensions, 5)))
    truth, common, *own = basis.T
    made = [
        cosine * truth + sqrt(1 - cosine**2) * (setting.shared * common + sqrt(1 - setting.shared**2) * error)
        for cosine, error in zip((setting.student, setting.chosen, setting.rejected), own, strict=True)
    ]
    return Vectors(truth, *made)


def preference_step(vectors: Vectors, inputs: Vector) -> Vector:
    """The negative gradient of the mean preference loss, -log p(y_c|x) + log p(y_r|x), p logistic.

    mean of (y_c - y_r) x / 2: the student's own term cancels, so it is the same wherever the student is.

    Args:
        vectors: The teachers.
        inputs: x, shape [n, d], float64.

    Returns:
        Shape [d].
    """
    difference = np.sign(inputs @ vectors.chosen) - np.sign(inputs @ vectors.rejected)
    step: Vector = difference @ inputs / (2 * len(inputs))
    return step


def tuning_step(vectors: Vectors, inputs: Vector) -> Vector:
    """The negative gradient of fine-tuning on the chosen answers, at the student.

    mean of y_c x / (1 + e^(k y_c w_0.x))

    Args and returns as `preference_step`; k is 4.
    """
    answers = np.sign(inputs @ vectors.chosen)
    residual = answers / (1 + np.exp(_SURENESS * answers * (inputs @ vectors.student)))
    step: Vector = residual @ inputs / len(inputs)
    return step


def cosines_along(vectors: Vectors, step: Vector, times: Vector) -> Vector:
    """cos(w_0 + t g, w*) for each time t >= 0, shape [T]."""
    moved = vectors.student + times[:, None] * step
    cosines: Vector = moved @ vectors.truth / np.linalg.norm(moved, axis=1)
    return cosines


def best_cosine(setting: Setting) -> float:
    """The best cosine that preferences can reach, for independent errors.

    cos*^2 = S / (1 + S), S = a_0^2 / (1 - a_0^2) + (a_c - a_r)^2 / (2 - a_c^2 - a_r^2); a_0 itself where a_c <= a_r.

    Source: the theorem's mechanism: the expected step is along w_c - w_r, and d cos/dt at 0 is (1 - a_0^2) (a_c - a_r)
    times sqrt(2/pi)/2.
    """
    gap = setting.chosen - setting.rejected
    if gap <= 0:
        return setting.student
    signal = setting.student**2 / (1 - setting.student**2)
    signal += gap**2 / (2 - setting.chosen**2 - setting.rejected**2)
    return sqrt(signal / (1 + signal))


def limit_cosine(setting: Setting) -> float:
    """Where preferences end without a stop, for independent errors: (a_c - a_r) / sqrt(2 - 2 a_c a_r).

    It is usually below the student's own cosine: delta learning has to stop early, or be held back. 0 where both
    teachers are the truth.
    """
    rest = 2 - 2 * setting.chosen * setting.rejected
    return (setting.chosen - setting.rejected) / sqrt(rest) if rest > 0 else 0.0
