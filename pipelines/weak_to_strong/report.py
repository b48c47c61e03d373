"""The report of a weak-to-strong experiment."""

from __future__ import annotations

from statistics import mean, median

from pipelines.reporting.document import Cell, Document, Section, Table
from pipelines.reporting.pgr import format_pgr
from pipelines.weak_to_strong.figures import Range, Report, Result
from pipelines.weak_to_strong.plots import plots

_PGR = (
    "PGR = (student - weak) / (ceiling - weak), in test accuracy: 0 is no better than the supervisor, 1 closes the "
    "gap. Its interval is a paired bootstrap over examples and seeds; a gap that sampling noise explains is shown by "
    "its status, not by a number."
)


def document(report: Report) -> Document:
    """The report as a page, tables and plots."""
    drawn = plots(report)
    return Document(
        title=f"Weak-to-strong on {report.summary[0].dataset}",
        lead=_lead(report),
        summary=summarise(report),
        sections=[
            Section("Accuracy and PGR", [_PGR], [_methods(report)], [drawn["accuracy"], drawn["pgr"]]),
            Section("Agreement", plots=[drawn["agreement"]]),
            Section("Training", plots=[drawn["curves"]]),
            Section("Every student", tables=[_students(report)]),
            Section("Supervision", tables=[_supervision(report)], plots=[drawn["labels"]]),
        ],
        provenance=report.provenance,
        data=report,
        figures=figures(report),
        failures=_failures(report),
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


def summarise(report: Report) -> Table:
    """The experiment in one table: for each gap the weak model, each method, and the ceiling."""
    several = len(report.gaps) > 1
    rows: list[list[Cell]] = []
    names = []
    for number, (weak, student) in enumerate(report.gaps, start=1):
        names.append(f"{f'{number}: ' if several else ''}weak: {weak}\nstudent and ceiling: {student}")
        shown = [row for row in report.summary if (row.weak, row.student) == (weak, student)]
        rows += [[str(number), *row] if several else row for row in _gap(shown)]
    seeds = _seeds(report)
    failed = [f"failed: {f.method}, seed {f.seed}: {f.reason}" for f in report.failures]
    return Table(
        name="summary",
        title=f"Weak-to-strong on {report.summary[0].dataset}",
        caption="\n".join([*names, f"{seeds} seed{'' if seeds == 1 else 's'}", *failed]),
        columns=[*(["gap"] if several else []), "model", "accuracy", "agreement", "PGR [95 %]", "status"],
        rows=rows,
    )


def _lead(report: Report) -> list[str]:
    pairs = "; ".join(f"supervisor {weak}, student and ceiling {student}" for weak, student in report.gaps)
    unclear = [row for row in report.summary if row.pgr.value is None]
    said = [
        f"Each seed is a whole experiment of its own: split, supervisor, students and ceiling. The {_examples(report)} "
        f"test examples are the same for all {_seeds(report)}. Models: {pairs}."
    ]
    if unclear:
        named = ", ".join(f"{row.method} ({row.pgr.status})" for row in unclear)
        said.append(f"No PGR is given where it would mean nothing: {named}.")
    return said


def _gap(shown: list[Result]) -> list[list[Cell]]:
    first = shown[0]
    methods: list[list[Cell]] = [[r.method, r.student_accuracy, r.agreement, _known(r), r.pgr.status] for r in shown]
    return [
        ["weak supervisor", first.weak_accuracy, "", "", ""],
        *methods,
        ["strong ceiling", first.ceiling_accuracy, "", "", ""],
    ]


def _methods(report: Report) -> Table:
    columns = [
        "supervisor",
        "student",
        "method",
        "weak",
        "student accuracy",
        "ceiling",
        "PGR [95 %]",
        "median PGR",
        "n",
    ]
    rows: list[list[Cell]] = [
        [
            row.weak,
            row.student,
            row.method,
            _with(row.weak_accuracy, row.weak_interval),
            _with(row.student_accuracy, row.student_interval),
            _with(row.ceiling_accuracy, row.ceiling_interval),
            format_pgr(row.pgr),
            row.pgr_median,
            row.examples,
        ]
        for row in report.summary
    ]
    caption = "Means over seeds with 95 % intervals; n test examples each. The median is over seeds whose PGR is OK."
    return Table(name="methods", title="By method", columns=columns, rows=rows, caption=caption)


def _students(report: Report) -> Table:
    columns = ["supervisor", "student", "method", "seed", "weak", "student accuracy", "ceiling", "agreement",
               "where supervisor right", "where wrong", "PGR [95 %]"]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            row.weak,
            row.student,
            row.method,
            row.seed,
            row.weak_accuracy,
            row.student_accuracy,
            row.ceiling_accuracy,
            row.agreement,
            row.agreement_supervisor_right,
            row.agreement_supervisor_wrong,
            format_pgr(row.pgr),
        ]
        for row in report.results
    ]
    return Table(name="students", title="Every student", columns=columns, rows=rows)


def _supervision(report: Report) -> Table:
    rows: list[list[Cell]] = [[row.teacher, row.seed, row.label_accuracy] for row in report.supervision]
    columns = ["teacher", "seed", "labels right on the transfer split"]
    return Table(name="supervision", title="Supervision", columns=columns, rows=rows)


def _failures(report: Report) -> Table | None:
    rows: list[list[Cell]] = [[row.method, row.seed, row.weak, row.student, row.reason] for row in report.failures]
    columns = ["method", "seed", "supervisor", "student", "reason"]
    return Table(name="failures", title="What failed", columns=columns, rows=rows) if rows else None


def _with(value: float, interval: Range) -> str:
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _known(row: Result) -> str:
    return "" if row.pgr.value is None else format_pgr(row.pgr)


def _seeds(report: Report) -> int:
    return len({row.seed for row in report.supervision})


def _examples(report: Report) -> int:
    return report.summary[0].examples
