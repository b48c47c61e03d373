"""A report's summary as one table of texts, for the command: every pipeline's report writes one."""

from __future__ import annotations

from pydantic import BaseModel

from pipelines.reporting.model import PgrFigure, Report, Result


class Summary(BaseModel):
    """A table; each row has a text for each column.

    Attributes:
        title: What it is of.
        caption: What stands below it.
        columns: The columns' names.
        rows: The rows.
    """

    title: str
    caption: str
    columns: list[str]
    rows: list[list[str]]


def summarise(report: Report) -> Summary:
    """The experiment in one table: for each gap the weak model, each method, and the ceiling."""
    several = len(report.gaps) > 1
    rows, names = [], []
    for number, (weak, student) in enumerate(report.gaps, start=1):
        names.append(f"{f'{number}: ' if several else ''}weak: {weak}\nstudent and ceiling: {student}")
        shown = [row for row in report.summary if (row.weak, row.student) == (weak, student)]
        rows += [[str(number), *row] if several else row for row in _gap(shown)]
    seeds = len({row.seed for row in report.supervision})
    failed = [f"failed: {f.method}, seed {f.seed}: {f.reason}" for f in report.failures]
    return Summary(
        title=f"Weak-to-strong on {report.summary[0].dataset}",
        caption="\n".join([*names, f"{seeds} seed{'' if seeds == 1 else 's'}", *failed]),
        columns=[*(["gap"] if several else []), "model", "accuracy", "agreement", "PGR [95 %]", "status"],
        rows=rows,
    )


def format_pgr(pgr: PgrFigure) -> str:
    """A PGR as text: `0.71 [0.60, 0.82]`, or its status where it means nothing."""
    if pgr.value is None:
        return pgr.status
    return f"{pgr.value:.2f} [{pgr.low:.2f}, {pgr.high:.2f}]"


def _gap(shown: list[Result]) -> list[list[str]]:
    return [
        ["weak supervisor", f"{shown[0].weak_accuracy:.3f}", "", "", ""],
        *(_row(row) for row in shown),
        ["strong ceiling", f"{shown[0].ceiling_accuracy:.3f}", "", "", ""],
    ]


def _row(row: Result) -> list[str]:
    pgr = "" if row.pgr.value is None else format_pgr(row.pgr)
    return [row.method, f"{row.student_accuracy:.3f}", f"{row.agreement:.3f}", pgr, row.pgr.status]
