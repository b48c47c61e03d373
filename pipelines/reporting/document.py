"""What a report is made of, whatever its pipeline: texts, tables and plots, and the numbers behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

Cell = str | int | float | None


class Table(BaseModel):
    """A table. People see floats with three decimals; its CSV file has all of them.

    Attributes:
        name: Its file's name, without an ending: lower case and underscores.
        title: What it is of.
        columns: The columns' names.
        rows: The rows; each has a cell for each column, None where there is no figure.
        caption: What stands below it.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: Its files' name, without an ending.
        caption: What stands below it.
        png: For the page.
        svg: For papers.
    """

    name: str
    caption: str
    png: bytes
    svg: bytes


@dataclass(frozen=True)
class Section:
    """A part of the page, in this order: texts, tables, plots."""

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: Of the page.
        lead: What was done, and how its figures are to be read, before the summary.
        summary: The experiment in one table, which the command shows too.
        sections: What follows.
        failures: What failed, and why; None where nothing did.
        provenance: What made it: plan, digests, teachers, versions.
        data: Every figure, as `report.json` has it.
        figures: Finite scalar metrics under names that are the same in every run, so that KFP lines runs up.
    """

    title: str
    lead: list[str]
    summary: Table
    sections: list[Section]
    provenance: dict[str, Any]
    data: BaseModel
    figures: dict[str, float]
    failures: Table | None = None
