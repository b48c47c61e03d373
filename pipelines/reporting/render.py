"""Writes a report: JSON, plots, a self-contained page and Markdown."""

from __future__ import annotations

import base64
from pathlib import Path
from statistics import mean, median

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.reporting.model import Report, Result
from pipelines.reporting.pgr import format_pgr
from pipelines.reporting.plots import draw
from pipelines.reporting.summary import summarise

_CAPTIONS = {
    "accuracy": "Test accuracy of the weak supervisor, of students trained on its labels, and of the ceiling.",
    "pgr": "How much of the gap between supervisor and ceiling each student closes.",
    "curves": "Training curves. Accuracy is on the validation split; nothing is selected by it here.",
    "labels": "How far the supervisor's confidence can be trusted, on the split that it labelled.",
}


def write(report: Report, folder: Path) -> None:
    """Writes `report.json`, `report.html`, `summary.json` and the plots into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.model_dump_json(indent=1))
    (folder / "summary.json").write_text(summarise(report).model_dump_json(indent=1))
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
    """The summary as a Markdown table, and what failed."""
    head = "| weak | strong | method | weak accuracy | student | ceiling | agreement | PGR (95 % interval) | median |"
    lines = [f"## Weak-to-strong on {report.summary[0].dataset}", "", head, "|---|---|---|---|---|---|---|---|---|"]
    failed = [f"- {f.method}, seed {f.seed}, {f.weak} > {f.student}: {f.reason}" for f in report.failures]
    return "\n".join(
        [*lines, *(_line(row) for row in report.summary), "", *(["Failed:", "", *failed, ""] if failed else [])]
    )


def figures(report: Report) -> dict[str, float]:
    """Scalar metrics under names that are the same in every run, so that KFP lines runs up.

    Of several gaps, a method's figures are means over them, and its PGR the median of those that are OK, as the
    paper aggregates.
    """
    found = {
        "accuracy_weak": mean(row.weak_accuracy for row in report.summary),
        "accuracy_ceiling": mean(row.ceiling_accuracy for row in report.summary),
        "students_failed": float(len(report.failures)),
    }
    for method in dict.fromkeys(row.method for row in report.summary):
        rows = [row for row in report.summary if row.method == method]
        found[f"accuracy_{method}"] = mean(row.student_accuracy for row in rows)
        found[f"agreement_{method}"] = mean(row.agreement for row in rows)
        recovered = [row.pgr.value for row in rows if row.pgr.value is not None]
        if recovered:
            found[f"pgr_{method}"] = median(recovered)
    return found


def _line(row: Result) -> str:
    over_seeds = "" if row.pgr_median is None else f"{row.pgr_median:.2f}"
    accuracies = f"{row.weak_accuracy:.3f} | {row.student_accuracy:.3f} | {row.ceiling_accuracy:.3f}"
    figures = f"{accuracies} | {row.agreement:.3f} | {format_pgr(row.pgr)} | {over_seeds}"
    return f"| {row.weak} | {row.student} | {row.method} | {figures} |"
