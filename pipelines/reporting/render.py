"""Writes a report: JSON, plots, a self-contained page and Markdown."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.reporting.model import PgrFigure, Report, Result
from pipelines.reporting.plots import draw

_CAPTIONS = {
    "accuracy": "Test accuracy of the weak supervisor, of students trained on its labels, and of the ceiling.",
    "pgr": "How much of the gap between supervisor and ceiling each student closes.",
    "curves": "Training curves. Accuracy is on the validation split; nothing is selected by it here.",
    "labels": "How far the supervisor's confidence can be trusted, on the split that it labelled.",
}


def write(report: Report, folder: Path) -> None:
    """Writes `report.json`, `report.html` and the plots into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.model_dump_json(indent=1))
    plots = draw(report)
    for name, png in plots.items():
        (folder / f"{name}.png").write_bytes(png)
    (folder / "report.html").write_text(html(report, plots))


def html(report: Report, plots: dict[str, bytes]) -> str:
    """The report as one page that needs no other file; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("pipelines"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["pgr"] = format_pgr
    images = [(base64.b64encode(plots[name]).decode(), caption) for name, caption in _CAPTIONS.items()]
    return environment.get_template("report.html.j2").render(report=report, images=images)


def markdown(report: Report) -> str:
    """The summary as a Markdown table."""
    head = "| method | weak | student | ceiling | agreement | PGR (95 % interval) | median over seeds |"
    lines = [f"## Weak-to-strong on {report.summary[0].dataset}", "", head, "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(row) for row in report.summary), ""])


def format_pgr(pgr: PgrFigure) -> str:
    """A PGR as text: `0.71 [0.60, 0.82]`, or its status where it means nothing."""
    if pgr.value is None:
        return pgr.status
    return f"{pgr.value:.2f} [{pgr.low:.2f}, {pgr.high:.2f}]"


def figures(report: Report) -> dict[str, float]:
    """Scalar metrics under names that are the same in every run, so that KFP lines runs up."""
    found = {"accuracy_weak": report.summary[0].weak_accuracy, "accuracy_ceiling": report.summary[0].ceiling_accuracy}
    for row in report.summary:
        found[f"accuracy_{row.method}"] = row.student_accuracy
        found[f"agreement_{row.method}"] = row.agreement
        if row.pgr.value is not None:
            found[f"pgr_{row.method}"] = row.pgr.value
    return found


def _line(row: Result) -> str:
    median = "" if row.pgr_median is None else f"{row.pgr_median:.2f}"
    accuracies = f"{row.weak_accuracy:.3f} | {row.student_accuracy:.3f} | {row.ceiling_accuracy:.3f}"
    return f"| {row.method} | {accuracies} | {row.agreement:.3f} | {format_pgr(row.pgr)} | {median} |"
