"""The report of a reasoning experiment."""

from __future__ import annotations

from statistics import mean

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipelines.reporting.document import Cell, Document, Section, Table
from pipelines.reporting.draw import color, draw
from pipelines.reporting.marks import Mark, format_mark
from pipelines.reporting.pgr import format_pgr
from pipelines.weak_to_strong_reasoning.collect import Report
from w2s.tasks import get_task

_MINIMUM = 20


def document(report: Report) -> Document:
    """The report as a page, tables and plots."""
    return Document(
        title=f"Weak-to-strong reasoning on {report.task}",
        lead=_lead(report),
        summary=_summary(report),
        sections=[
            Section(
                "Students",
                ["Greedy answers without solved examples, marked by the evaluator. Intervals are 95 % bootstraps."],
                [_students(report)],
                [draw("accuracy", "Weak model, students and ceiling on the test split.", lambda: _paint(report))],
            ),
            Section(
                "Selection",
                [
                    "Solutions were taken out of these questions before anyone wrote, selected or trained on them; the "
                    "evaluator alone marks by them, and the ceiling learns them. It has the weak model answer once "
                    "more for that. Precision is held against the share of right answers without selection."
                ],
                [_selections(report), _contrasts(report)],
            ),
        ],
        provenance=report.provenance,
        data=report,
        figures=figures(report),
        failures=_failures(report),
    )


def figures(report: Report) -> dict[str, float]:
    """Scalar metrics under names that are the same in every run."""
    first = report.summary[0]
    found = {
        f"{report.metric}_weak": first.weak.value,
        f"{report.metric}_ceiling": first.ceiling.value,
        f"{report.metric}_in_context": mean(value for _, value in report.in_context),
        "students_failed": float(len(report.failures)),
        "pairs": float(sum(one.pairs for one in report.contrasts)),
    }
    for row in report.summary:
        found[f"{report.metric}_{row.method}"] = row.student.value
        if row.pgr.value is not None:
            found[f"pgr_{row.method}"] = row.pgr.value
    for iteration in (1, 2):
        shown = [one for one in report.selections if one.iteration == iteration]
        precise = [one.precision for one in shown if one.precision is not None]
        if precise:
            found[f"precision_{iteration}"] = mean(precise)
            found[f"coverage_{iteration}"] = mean(one.coverage for one in shown)
    return found


def _lead(report: Report) -> list[str]:
    task, first = get_task(report.task), report.summary[0]
    models = report.provenance["settings"]
    weak, strong = models["models_weak"]["uri"], models["models_strong"]["uri"]
    said = [
        f"{weak} learns solved questions and solves others; {strong} solves the same ones in context of what the weak "
        f"model wrote, is trained on those that both answer alike, and then on preferences between its own samples. "
        f"{first.examples} test questions, {max(row.seeds for row in report.summary)} seed(s)."
    ]
    if task.source.kind == "generated":
        said.append(
            "The questions are generated: real word problems are at floor for models of this size, and say nothing "
            "of what they learn from each other."
        )
    few = [one for one in report.selections if one.selected < _MINIMUM]
    if few:
        said.append(
            f"Fewer than {_MINIMUM} questions were selected in {len(few)} case(s): their precision says little."
        )
    return said


def _summary(report: Report) -> Table:
    first = report.summary[0]
    in_context = mean(value for _, value in report.in_context)
    rows: list[list[Cell]] = [
        ["weak model", format_mark(first.weak), "", ""],
        ["strong, in context", in_context, "", ""],
    ]
    for row in report.summary:
        known = "" if row.pgr.value is None else format_pgr(row.pgr)
        rows.append([row.method, format_mark(row.student), known, row.pgr.status])
    rows.append(["ceiling", format_mark(first.ceiling), "", ""])
    return Table(
        name="summary",
        title=f"Weak-to-strong reasoning on {report.task}",
        columns=["model", f"{report.metric} [95 %]", "PGR [95 %]", "status"],
        rows=rows,
        caption=f"{first.examples} test questions a seed",
    )


def _students(report: Report) -> Table:
    rows: list[list[Cell]] = [
        [row.method, row.seed, row.weak.value, row.student.value, row.ceiling.value, format_pgr(row.pgr)]
        for row in report.students
    ]
    columns = ["method", "seed", "weak", "student", "ceiling", "PGR [95 %]"]
    return Table(name="students", title="Every student", columns=columns, rows=rows)


def _selections(report: Report) -> Table:
    rows: list[list[Cell]] = [
        [one.iteration, one.seed, one.questions, one.selected, one.coverage, one.precision, one.unselected]
        for one in report.selections
    ]
    columns = ["iteration", "seed", "questions", "selected", "coverage", "precision", "right without selection"]
    return Table(name="selection", title="What both answer alike", columns=columns, rows=rows)


def _contrasts(report: Report) -> Table:
    rows: list[list[Cell]] = [[one.seed, one.pairs, one.questions] for one in report.contrasts]
    return Table(name="pairs", title="Contrastive pairs", columns=["seed", "pairs", "of questions"], rows=rows)


def _failures(report: Report) -> Table | None:
    rows: list[list[Cell]] = [[one.method, one.seed, one.reason] for one in report.failures]
    return (
        Table(name="failures", title="What failed", columns=["method", "seed", "reason"], rows=rows) if rows else None
    )


def _paint(report: Report) -> Figure:
    first = report.summary[0]
    shown: list[tuple[str, Mark]] = [
        ("weak", first.weak),
        *((row.method, row.student) for row in report.summary),
        ("ceiling", first.ceiling),
    ]
    names = [name for name, _ in shown]
    figure, axes = plt.subplots(figsize=(max(5.0, 0.9 * len(shown)), 3.6))
    for place, (name, mark) in enumerate(shown):
        ends = [mark.value if end is None else end for end in (mark.low, mark.high)]
        axes.plot([place, place], ends, color=color(name, names), lw=3, alpha=0.55)
        axes.scatter([place], [mark.value], color=color(name, names), s=46, zorder=3)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel=report.metric, title="Share of right answers, with 95 % intervals")
    return figure
