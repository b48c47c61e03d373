"""Writes a report: a self-contained page, JSON, CSV, plots and Markdown."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.reporting.document import Cell, Document, Table
from pipelines.reporting.rerun import rerun_command

_DECIMALS = 3


def write(document: Document, folder: Path) -> None:
    """Writes `report.html`, `report.json`, `summary.json`, a CSV file a table, and PNG and SVG files a plot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(html(document))
    (folder / "report.json").write_text(document.data.model_dump_json(indent=1))
    (folder / "summary.json").write_text(document.summary.model_dump_json(indent=1))
    for table in tables(document):
        with (folder / f"{table.name}.csv").open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([table.columns, *table.rows])
    for plot in (plot for section in document.sections for plot in section.plots):
        (folder / f"{plot.name}.png").write_bytes(plot.png)
        (folder / f"{plot.name}.svg").write_bytes(plot.svg)


def publish(document: Document, page: str, text: str, folder: str) -> dict[str, float]:
    """Writes a report to the paths of a step's artifacts; returns its scalar metrics.

    Args:
        document: The report.
        page: Where KFP shows the page from.
        text: Where KFP shows the Markdown from.
        folder: Where all files go.
    """
    write(document, Path(folder))
    Path(page).write_text((Path(folder) / "report.html").read_text())
    Path(text).write_text(markdown(document))
    return document.figures


def tables(document: Document) -> list[Table]:
    """Every table of a report, the summary first."""
    failures = [document.failures] if document.failures else []
    return [document.summary, *(table for section in document.sections for table in section.tables), *failures]


def html(document: Document) -> str:
    """The report as one page that needs no other file; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("pipelines"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["cell"] = cell_text
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    made = document.provenance
    command = rerun_command(made["pipeline"], made["settings"])
    return environment.get_template("document.html.j2").render(document=document, command=command)


def markdown(document: Document) -> str:
    """The lead, the summary and what failed, as Markdown."""
    parts = [f"## {document.title}", *document.lead, _markdown_table(document.summary)]
    if document.failures:
        parts += ["Failed:", _markdown_table(document.failures)]
    return "\n\n".join(parts) + "\n"


def cell_text(cell: Cell) -> str:
    """A cell for people: floats with three decimals, nothing for None."""
    if isinstance(cell, float):
        return f"{cell:.{_DECIMALS}f}"
    return "" if cell is None else str(cell)


def _markdown_table(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *(map(cell_text, row) for row in table.rows)]
    text = "\n".join(f"| {' | '.join(part.replace('|', chr(92) + '|') for part in line)} |" for line in lines)
    return f"{text}\n\n{table.caption}" if table.caption else text
