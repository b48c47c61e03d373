"""Batches with little padding; imports nothing, so that it can be used wherever there is Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Groups indices so that rows times the longest row stays within a budget.

    Sorted by length, longest first (memory peaks at once), so that little is padding. The
    grouping depends on the lengths and their order alone.

    Args:
        lengths: Tokens of each row, >= 1.
        budget: Padded tokens a batch, >= 1; a longer row is a batch of its own.

    Yields:
        Disjoint lists of indices that cover all rows.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
