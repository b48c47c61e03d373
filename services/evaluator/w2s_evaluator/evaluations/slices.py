"""Figures over a whole dataset, and over each of its slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from w2s.metrics import Estimate, direction_of
from w2s_evaluator.evaluations.result import Metric


def by_slice(
    slices: Sequence[str | None] | None, rows: int, figures: Callable[[NDArray[np.intp]], dict[str, Estimate]]
) -> list[Metric]:
    """Every figure over all rows first, then over those of each slice, by the slices' names.

    Args:
        slices: The slice of each row, None for none; None where no row is in one.
        rows: How many rows there are.
        figures: The figures of some rows, by name.
    """
    groups = {"": np.arange(rows)}
    if slices is not None:
        names = np.array([name or "" for name in slices])
        groups |= {str(name): np.flatnonzero(names == name) for name in np.unique(names) if name}
    return [
        Metric(name, slice_, estimate, direction_of(name))
        for slice_, members in groups.items()
        for name, estimate in figures(members).items()
    ]
