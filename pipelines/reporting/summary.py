"""A report's summary as one table."""

from __future__ import annotations

from pipelines.reporting.document import Cell, Table
from pipelines.reporting.model import Report, Result
from pipelines.reporting.pgr import format_pgr


def summarise(report: Report) -> Table:
    """The experiment in one table: for each gap the weak model, each method, and the ceiling."""
    several = len(report.gaps) > 1
    rows, names = [], []
    for number, (weak, student) in enumerate(report.gaps, start=1):
        names.append(f"{f'{number}: ' if several else ''}weak: {weak}\nstudent and ceiling: {student}")
        shown = [row for row in report.summary if (row.weak, row.student) == (weak, student)]
        rows += [[str(number), *row] if several else row for row in _gap(shown)]
    seeds = len({row.seed for row in report.supervision})
    failed = [f"failed: {f.method}, seed {f.seed}: {f.reason}" for f in report.failures]
    return Table(
        name="summary",
        title=f"Weak-to-strong on {report.summary[0].dataset}",
        caption="\n".join([*names, f"{seeds} seed{'' if seeds == 1 else 's'}", *failed]),
        columns=[*(["gap"] if several else []), "model", "accuracy", "agreement", "PGR [95 %]", "status"],
        rows=rows,
    )


def _gap(shown: list[Result]) -> list[list[Cell]]:
    return [
        ["weak supervisor", f"{shown[0].weak_accuracy:.3f}", "", "", ""],
        *(_row(row) for row in shown),
        ["strong ceiling", f"{shown[0].ceiling_accuracy:.3f}", "", "", ""],
    ]


def _row(row: Result) -> list[Cell]:
    pgr = "" if row.pgr.value is None else format_pgr(row.pgr)
    return [row.method, f"{row.student_accuracy:.3f}", f"{row.agreement:.3f}", pgr, row.pgr.status]
