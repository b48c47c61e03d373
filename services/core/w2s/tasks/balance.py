"""Classes of equal size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from w2s.tasks.draws import order
from w2s.tasks.rows import Row


def balance(rows: Sequence[Row], salt: str) -> list[Row]:
    """Keeps as many rows of each class as the smallest has, in their order.

    Which ones are kept depends on their ids and the salt alone.
    """
    smallest = min(Counter(row.label for row in rows).values(), default=0)
    kept: Counter[int] = Counter()
    chosen: set[str] = set()
    for row in sorted(rows, key=lambda row: order(f"{salt}/balance", row.id)):
        if kept[row.label] < smallest:
            kept[row.label] += 1
            chosen.add(row.id)
    return [row for row in rows if row.id in chosen]
