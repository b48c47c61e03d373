"""How a batch is best cut into micro-batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# What a micro-batch takes beside its tokens, as a share of the budget: launching its kernels, reading all weights.
_OVERHEAD = 1 / 16


def cheapest_cut(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Groups rows so that padded tokens, and an overhead for each group, are the fewest there can be.

    Sorted by length, longest first (memory peaks at once), the groups of the best cut lie one
    after another, and the best cut of the first j rows ends with a group i .. j - 1 after the best
    cut of the first i:

    cost(j) = min over i of cost(i) + length(i) (j - i) + budget / 16

    Args:
        lengths: Tokens of each row, >= 1.
        budget: Padded tokens of a group, >= 1; a longer row is a group of its own.

    Returns:
        Disjoint lists of indices that cover all rows; they depend on the lengths and their order alone.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    longest = np.asarray([lengths[index] for index in order], np.float64)
    # Of a group that ends with row j - 1, every row is at least as long as that one.
    most = np.maximum(1, budget // longest).astype(np.int64)
    costs = np.zeros(len(order) + 1)
    firsts = np.zeros(len(order) + 1, np.int64)
    for end in range(1, len(order) + 1):
        low = max(0, end - int(most[end - 1]))
        padded = longest[low:end] * np.arange(end - low, 0, -1)
        # Its own row may be beyond the budget.
        padded[:-1][padded[:-1] > budget] = np.inf
        found = costs[low:end] + padded
        best = int(found.argmin())
        firsts[end], costs[end] = low + best, found[best] + _OVERHEAD * budget
    groups = []
    while end := len(order):
        groups.append(order[firsts[end] :])
        del order[firsts[end] :]
    return groups[::-1]
