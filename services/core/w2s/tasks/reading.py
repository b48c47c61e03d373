"""Reads a task's source: what is left out is counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from w2s.errors import DataLoss
from w2s.tasks.conversions import longest
from w2s.tasks.sources import open_source
from w2s.tasks.task import Task
from w2s.tasks.text import Fields, value_of


@dataclass
class Counts:
    """What became of the source's rows.

    Attributes:
        read: Rows that were read.
        left_out: Rows that the task does not want, such as those without a label.
        too_long: Rows with a text of too many characters.
        duplicates: Rows that say the same as an earlier one, which is kept.
        conflicts: Rows that say the same and are labelled differently, of which none is kept.
        in_test: Rows that share a text with a held-out one.
    """

    read: int = 0
    left_out: int = 0
    too_long: int = 0
    duplicates: int = 0
    conflicts: int = 0
    in_test: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass
class Reading:
    """A task's items, distinct and in source order.

    Attributes:
        items: All but those held out.
        held_out: Those that the test split comes from; None where it comes from `items`.
        companions: Those of the second source.
        counts: What became of the rows of the first source.
        revision: The commit that was read; empty for what has none.
    """

    items: list[Any]
    held_out: list[Any] | None = None
    companions: list[Any] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    revision: str = ""


def read_task(task: Task) -> Reading:
    """Reads a task's source, and its second source.

    Raises:
        FailedPrecondition, InvalidArgument, Unavailable: As `open_source`.
        DataLoss: The source lacks a column, or has something else in it or an unknown label.
    """
    source = open_source(task.source)
    counts = Counts()
    reading = Reading(_items(task, source.rows, task.conversion.read, counts), counts=counts, revision=source.revision)
    if source.held_out is not None:
        reading.held_out = _items(task, source.held_out, task.conversion.read, counts)
    if task.conversion.companion is not None:
        second = open_source(task.conversion.companion)
        reading.companions = _items(task, second.rows, task.conversion.read_companion, Counts(), wanted={})
    return reading


def _items(
    task: Task,
    rows: Iterable[Fields],
    read: Callable[[Fields], Any | None],
    counts: Counts,
    wanted: dict[str, Any] | None = None,
) -> list[Any]:
    alike: dict[object, list[Any]] = {}
    where = task.where if wanted is None else wanted
    for number, fields in enumerate(itertools.islice(rows, task.max_rows), 1):
        counts.read += 1
        try:
            kept = all(value_of(fields, column) in values for column, values in where.items())
            item = read(fields) if kept else None
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataLoss(f"{task.name}, row {number} of the source: {error!r}") from error
        if item is None:
            counts.left_out += 1
        elif longest(item) > task.max_characters:
            counts.too_long += 1
        else:
            alike.setdefault(task.conversion.same(item), []).append(item)
    return [item for same in alike.values() for item in _decide(task, same, counts)]


def _decide(task: Task, same: Sequence[Any], counts: Counts) -> Sequence[Any]:
    kept = task.conversion.decided(same)
    if kept:
        counts.duplicates += len(same) - 1
    else:
        counts.conflicts += len(same)
    return kept
