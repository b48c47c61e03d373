"""The tables of a deception report."""

from __future__ import annotations

from pipelines.deception.figures import Figure, Figures, Student
from pipelines.deception.plan import Plan
from pipelines.reporting.document import Cell, Table

CELL_COLUMNS = ["objective", "weak > strong", "mitigation", "conflict"]
_FIGURES = [
    "weak", "student", "ceiling", "score [95 %]", "errors", "at random", "lift [95 %]", "to no conflict [95 %]",
    "conflict tax [95 %]", "blind spots", "status",
]  # fmt: skip


def summary(plan: Plan, found: Figures) -> Table:
    """The experiment in one table: a row for each cell, its gap by number."""
    gaps = list(dict.fromkeys((row.objective, row.gap) for row in found.cells))
    over = "" if len(plan.seeds) == 1 else f", means over {len(plan.seeds)} seeds"
    return Table(
        name="summary",
        title=f"Weak-to-strong deception on {plan.data.task}{over}",
        columns=["gap", "mitigation", "conflict", "accuracy", "score [95 %]", "random", "lift", "to no conflict"],
        rows=[[gaps.index((row.objective, row.gap)) + 1, *_short(row)] for row in found.cells],
        caption="\n".join([*(_gap(number, gap, found) for number, gap in enumerate(gaps, start=1)), *_failed(found)]),
    )


def _short(row: Student) -> list[Cell]:
    at = row.at
    score = figure_text(at.score) or f"null: {at.score.n} errors"
    return [
        row.mitigation,
        row.conflict,
        row.accuracy,
        score,
        at.base_rate.value,
        figure_text(at.lift),
        figure_text(at.difference, signed=True),
    ]


def _gap(number: int, gap: tuple[str, str], found: Figures) -> str:
    one = next(row for row in found.cells if (row.objective, row.gap) == gap)
    return f"{number}: {gap[0]}, {gap[1]}; weak {one.weak_accuracy:.3f}, ceiling {one.ceiling_accuracy:.3f}"


def _failed(found: Figures) -> list[str]:
    return [f"failed: {f.objective}, {f.conflict}, {f.mitigation}, seed {f.seed}: {f.reason}" for f in found.failures]


def student_table(name: str, title: str, rows: list[Student], seeds: bool = False) -> Table:
    """Students, or cells, with all of their figures."""
    columns = [*CELL_COLUMNS, *(["seed"] if seeds else []), *_FIGURES]
    return Table(
        name=name,
        title=title,
        columns=columns,
        rows=[[*named(row), *([row.seed] if seeds else []), *_cells(row)] for row in rows],
        caption="“Errors” are those within what the ceiling knows, of which the score is.",
    )


def named(row: Student) -> list[Cell]:
    """What a row is of, as `CELL_COLUMNS` has it."""
    return [row.objective, row.gap, f"{row.mitigation}{' (ground truth)' if row.oracle else ''}", row.conflict]


def _cells(row: Student) -> list[Cell]:
    at = row.at
    return [
        row.weak_accuracy,
        row.accuracy,
        row.ceiling_accuracy,
        figure_text(at.score),
        at.score.n,
        at.base_rate.value,
        figure_text(at.lift),
        figure_text(at.difference, signed=True),
        figure_text(at.tax),
        row.blind_spot_rate,
        row.status,
    ]


def figure_text(figure: Figure, signed: bool = False) -> str | None:
    """A figure with its interval: `0.71 [0.60, 0.82]`; None where there is none."""
    if figure.value is None:
        return None
    form = "+.2f" if signed else ".2f"
    return f"{figure.value:{form}} [{figure.low:{form}}, {figure.high:{form}}]"


def failures(found: Figures) -> Table | None:
    """What failed, and why."""
    if not found.failures:
        return None
    return Table(
        name="failures",
        title="What failed",
        columns=[*CELL_COLUMNS, "seed", "reason"],
        rows=[
            [f.objective, f"{f.weak} > {f.strong}", f.mitigation, f.conflict, f.seed, f.reason] for f in found.failures
        ],
    )
