"""Tables for people: what a run found, and what one would do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.markup import escape
from rich.table import Table

from pipelines.estimate import Work
from pipelines.plans import BasePlan, choices, settings_of
from pipelines.reporting import document
from pipelines.reporting.write import cell_text


def summary_table(summary: document.Table) -> Table:
    """A report's summary: texts to the left, figures to the right."""
    table = Table(title=escape(summary.title), caption=escape(summary.caption))
    for index, name in enumerate(summary.columns):
        table.add_column(escape(name), justify="left" if _told(summary, index) else "right", overflow="fold")
    for row in summary.rows:
        table.add_row(*(escape(cell_text(cell)) for cell in row))
    return table


def _told(summary: document.Table, index: int) -> bool:
    """Whether a column is words, and not figures."""
    cells = [row[index] for row in summary.rows if row[index] is not None]
    return all(isinstance(cell, str) and not cell[:1].isdigit() for cell in cells)


def settings_table(plan: BasePlan) -> Table:
    """A plan's settings, and what else they may be."""
    table = Table(title="Settings", caption="change one with --set name=value; values are YAML")
    for name in ("setting", "value", "one of"):
        table.add_column(name, overflow="fold")
    offered = choices(type(plan))
    for name, value in settings_of(plan).items():
        table.add_row(name, _text(value), ", ".join(map(str, offered.get(name, ()))))
    return table


def work_table(works: Iterable[Work]) -> Table:
    """What a plan will do, and what it costs at most."""
    shown = list(works)
    table = Table(title="Work", caption="forwards: passes of a text through a model, a training pass counted as 3")
    for name in ("step", "model", "times", "rows each", "forwards", "tokens at most"):
        table.add_column(name, justify="left" if name in ("step", "model") else "right", overflow="fold")
    for work in shown:
        cost = (f"{work.forwards:,}", f"{work.tokens:,}") if work.model else ("", "")
        table.add_row(work.step, work.model, str(work.times), f"{work.rows:,}", *cost)
    total = (f"{sum(work.forwards for work in shown):,}", f"{sum(work.tokens for work in shown):,}")
    table.add_row("all", "", str(sum(work.times for work in shown)), "", *total, style="bold")
    return table


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {part}" for name, part in value.items() if part not in ("", None))
    return str(value)
