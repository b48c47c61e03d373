"""What a server's numbers say about rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from w2s.errors import Internal, W2SError
from w2s_supervisor.backends.protocol import Labelled

# How far probabilities may sum from 1: those of half-precision models do not hit it exactly.
_TOLERANCE = 1e-3


def labels_of(values: NDArray[np.float64], logits: bool) -> list[Labelled | W2SError]:
    """Rows of an output as labels.

    p = softmax(logits), or the probabilities divided by their sum, and then logits = log p.

    Args:
        values: Shape [N, C].
        logits: Whether they are logits, not probabilities.

    Returns:
        One label a row; an error for a row that is not finite, or no distribution.
    """
    return [_from_logits(row) if logits else _from_probabilities(row) for row in values]


def _from_logits(row: NDArray[np.float64]) -> Labelled | W2SError:
    if not np.isfinite(row).all():
        return Internal("the server's logits for this row are not finite")
    weights = np.exp(row - row.max())
    return Labelled(row.astype(np.float32), (weights / weights.sum()).astype(np.float32))


def _from_probabilities(row: NDArray[np.float64]) -> Labelled | W2SError:
    if not np.isfinite(row).all():
        return Internal("the server's probabilities for this row are not finite")
    total = row.sum()
    if row.min() < 0 or abs(total - 1) > _TOLERANCE:
        return Internal(
            f"the server's probabilities for this row sum to {total:g} and begin at {row.min():g}; "
            "set `logits` if the output holds logits"
        )
    with np.errstate(divide="ignore"):
        logits = np.log(row / total)
    return Labelled(logits.astype(np.float32), (row / total).astype(np.float32))
