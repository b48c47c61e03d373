"""The report of an experiment on written answers."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipelines.reporting.document import Cell, Document, Section, Table
from pipelines.reporting.draw import color, draw
from pipelines.reporting.marks import Mark, format_mark
from pipelines.reporting.pgr import format_pgr
from pipelines.weak_to_strong_answers.collect import Report, Student
from w2s.tasks import get_task

_STUDENTS = "Greedy answers, marked by the evaluator. Intervals are 95 % bootstraps over test questions."


def document(report: Report) -> Document:
    """The report as a page, tables and plots."""
    plot = draw("accuracy", "Weak model, student and ceiling on the test split.", lambda: _paint(report))
    return Document(
        title=f"Weak-to-strong generalization in answers to {report.task}",
        lead=_lead(report),
        summary=_table("summary", f"Weak-to-strong generalization in answers to {report.task}", report, report.summary),
        sections=[
            Section("Students", [_STUDENTS], [_table("students", "Every student", report, report.students)], [plot])
        ],
        provenance=report.provenance,
        data=report,
        figures=figures(report),
        failures=_failures(report),
    )


def figures(report: Report) -> dict[str, float]:
    """Scalar metrics under names that are the same in every run; those of the largest gap in capability."""
    widest = max(report.summary, key=lambda row: row.ceiling.value - row.weak.value)
    found = {"students_failed": float(len(report.failures))}
    for row in report.summary:
        if (row.weak_model, row.strong_model) != (widest.weak_model, widest.strong_model):
            continue
        found |= {f"{report.metric}_weak": row.weak.value, f"{report.metric}_ceiling": row.ceiling.value}
        found[f"{report.metric}_{row.method}"] = row.student.value
        if row.pgr.value is not None:
            found[f"pgr_{row.method}"] = row.pgr.value
    return found


def _lead(report: Report) -> list[str]:
    task, first = get_task(report.task), report.summary[0]
    said = [
        "Weak models learn solved questions and answer others; strong models are fine-tuned on those answers, straight "
        "(naive) or through models between (bootstrapping), each of which learns what the one before wrote. "
        f"{first.examples} test questions, {max(row.seeds for row in report.summary)} seed(s)."
    ]
    if task.source.kind == "generated":
        said.append(
            "The questions are generated: real ones are at floor for models of this size, and say nothing of what they "
            "learn from each other."
        )
    return said


def _table(name: str, title: str, report: Report, rows: list[Student]) -> Table:
    cells: list[list[Cell]] = [
        [
            row.method,
            row.weak_model,
            row.strong_model,
            row.seed if row.seed is not None else f"{row.seeds} seed(s)",
            format_mark(row.weak),
            format_mark(row.student),
            format_mark(row.ceiling),
            format_pgr(row.pgr),
            row.pgr.status,
        ]
        for row in rows
    ]
    columns = [
        "method",
        "weak model",
        "strong model",
        "seed",
        *(f"{who} [95 %]" for who in ("weak", "student", "ceiling")),
    ]
    return Table(
        name=name,
        title=title,
        columns=[*columns, "PGR [95 %]", "status"],
        rows=cells,
        caption=f"{report.metric}, {report.summary[0].examples} test questions a seed",
    )


def _failures(report: Report) -> Table | None:
    rows: list[list[Cell]] = [[f.method, f.weak_model, f.strong_model, f.seed, f.reason] for f in report.failures]
    columns = ["method", "weak model", "strong model", "seed", "reason"]
    return Table(name="failures", title="What failed", columns=columns, rows=rows) if rows else None


def _paint(report: Report) -> Figure:
    figure, axes = plt.subplots(figsize=(max(5.0, 1.6 * len(report.summary)), 3.6))
    roles = ["weak", "student", "ceiling"]
    for place, row in enumerate(report.summary):
        for shift, (role, found) in zip((-0.2, 0.0, 0.2), zip(roles, _marks(row), strict=True), strict=True):
            ends = [found.value if end is None else end for end in (found.low, found.high)]
            axes.plot([place + shift] * 2, ends, color=color(role, roles), lw=3, alpha=0.55)
            label = role if place == 0 else None
            axes.scatter([place + shift], [found.value], color=color(role, roles), s=46, zorder=3, label=label)
    names = [f"{row.method}\n{row.weak_model}\n{row.strong_model}" for row in report.summary]
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(ylabel=report.metric, title="Share of right answers, with 95 % intervals")
    axes.legend()
    return figure


def _marks(row: Student) -> tuple[Mark, Mark, Mark]:
    return row.weak, row.student, row.ceiling
