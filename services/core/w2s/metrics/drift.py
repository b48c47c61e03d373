"""How far a student's answers move from its teacher's, and from its own of before. Label-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Added to each bin, as if half an example more had fallen into it.
_PRIOR = 0.5


def population_stability_index(expected_counts: NDArray[np.number], counts: NDArray[np.number]) -> float | None:
    """How far a histogram has moved from the expected one; None when either is empty.

    PSI = sum_b (p_b - q_b) ln(p_b / q_b),   p_b = (n_b + 1/2) / (n + B/2), q_b likewise

    The half example in each of the B bins (Krichevsky and Trofimov 1981) keeps an empty
    bin finite, and fades as examples come. It is the sum of both Kullback-Leibler
    divergences (Jeffreys 1946), hence symmetric, >= 0, and 0 only where p = q. By custom
    more than 0.1 is some shift and more than 0.25 a large one.

    Source: Siddiqi 2006, "Credit Risk Scorecards", chapter 9.

    Args:
        expected_counts: Examples in each bin then, shape [B], >= 0.
        counts: Examples in each bin now, shape [B], >= 0; both may be weighted.

    Raises:
        ValueError: The shapes differ.
    """
    if np.shape(expected_counts) != np.shape(counts):
        raise ValueError(f"both must have the same bins, got {np.shape(expected_counts)} and {np.shape(counts)}")
    if np.sum(expected_counts) == 0 or np.sum(counts) == 0:
        return None
    q, p = _shares(expected_counts), _shares(counts)
    return float(((p - q) * np.log(p / q)).sum())


def disagreement(student_probs: NDArray[np.floating], teacher_probs: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether student and teacher predict different classes, shape [N].

    [argmax S(x_i) != argmax W(x_i)]; of equally probable classes the first is predicted.

    Args:
        student_probs: Shape [N, C], in [0, 1].
        teacher_probs: Shape [N, C], in [0, 1].
    """
    return np.asarray(student_probs.argmax(axis=1) != teacher_probs.argmax(axis=1))


def confident_disagreement(
    student_probs: NDArray[np.floating], teacher_probs: NDArray[np.floating], threshold: float = 0.75
) -> NDArray[np.bool_]:
    """Whether they differ and the student is sure of itself, shape [N].

    [argmax S(x_i) != argmax W(x_i) and max S(x_i) >= threshold]

    Args:
        student_probs: Shape [N, C], in [0, 1].
        teacher_probs: Shape [N, C], in [0, 1].
        threshold: The probability from which an answer is confident, in (0, 1].
    """
    return np.asarray(disagreement(student_probs, teacher_probs) & (student_probs.max(axis=1) >= threshold))


def _shares(counts: NDArray[np.number]) -> NDArray[np.float64]:
    smoothed = np.asarray(counts, dtype=np.float64) + _PRIOR
    return np.asarray(smoothed / smoothed.sum())
