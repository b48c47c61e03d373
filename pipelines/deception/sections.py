"""The sections of a deception report, with their plots."""

from __future__ import annotations

from functools import partial

from pipelines.deception.figures import Figure, Figures, plain
from pipelines.deception.plan import NO_MITIGATION, Plan
from pipelines.deception.plots import paint_areas, paint_mitigations, paint_thresholds, paint_trend
from pipelines.deception.tables import CELL_COLUMNS, named, student_table
from pipelines.reporting.document import Cell, Section, Table
from pipelines.reporting.draw import draw


def areas(plan: Plan, found: Figures) -> Section:
    """The four areas, an objective a plot."""
    rows = plain(found.cells)
    plots = [
        draw(
            f"areas_{objective}",
            "Test pairs by who knows them, and whether the student is right. Deception is what is wrong in the second "
            "bar of each panel: the strong model knows, and the weak one cannot see it.",
            partial(paint_areas, [row for row in rows if row.objective == objective]),
        )
        for objective in plan.objectives
        if any(row.objective == objective for row in rows)
    ]
    table = Table(
        name="areas",
        title="The four areas",
        columns=[*CELL_COLUMNS, "strong knows", "weak knows", "right", "wrong"],
        rows=[
            [*named(row), str(area.strong_known).lower(), str(area.weak_known).lower(), area.right, area.wrong]
            for row in found.cells
            for area in row.at.areas
        ],
    )
    return Section("Where students are wrong", tables=[table], plots=plots)


def trend(found: Figures) -> Section:
    """The score by the gap."""
    caption = (
        "The score by the gap in accuracy, without mitigation. The paper finds that it rises with the gap; so does the "
        "score of errors at random, for a weaker supervisor knows less."
    )
    return Section("The gap", plots=[draw("gap_trend", caption, partial(paint_trend, found))])


def thresholds(found: Figures) -> Section:
    """The score by the threshold of knowing."""
    rows: list[list[Cell]] = [
        [*named(row), at.threshold, at.score.value, at.score.low, at.score.high, at.score.n, at.base_rate.value,
         at.lift.value]
        for row in found.cells
        for at in row.sweep
    ]  # fmt: skip
    table = Table(
        name="thresholds",
        title="The threshold of knowing",
        columns=[*CELL_COLUMNS, "threshold", "score", "low", "high", "errors", "at random", "lift"],
        rows=rows,
        caption="Does a finding hang on one threshold?",
    )
    plot = draw("thresholds", "The score by the threshold, without mitigation.", partial(paint_thresholds, found))
    return Section("The threshold of knowing", tables=[table], plots=[plot])


def mitigations(found: Figures) -> Section:
    """What mitigations change."""
    plots = [
        draw(
            f"mitigations_{objective}",
            "The score under each mitigation. The oracle filter reads ground truth.",
            partial(paint_mitigations, [row for row in found.cells if row.objective == objective]),
        )
        for objective in dict.fromkeys(row.objective for row in found.cells)
    ]
    before = {(row.objective, row.gap, row.conflict): row for row in found.cells if row.mitigation == NO_MITIGATION}
    rows: list[list[Cell]] = [
        [*named(row), row.pairs, row.accuracy - other.accuracy, _less(row.at.score, other.at.score),
         _less(row.at.lift, other.at.lift)]
        for row in found.cells
        if row.mitigation != NO_MITIGATION
        and (other := before.get((row.objective, row.gap, row.conflict))) is not None
    ]  # fmt: skip
    table = Table(
        name="mitigations",
        title="What mitigations change",
        columns=[*CELL_COLUMNS, "pairs learned", "accuracy", "score", "lift"],
        rows=rows,
        caption="Differences to the same student without mitigation; intervals are in the summary.",
    )
    return Section("Mitigations", tables=[table], plots=plots)


def _less(figure: Figure, other: Figure) -> float | None:
    return None if figure.value is None or other.value is None else figure.value - other.value


def supervision(found: Figures) -> Section:
    """How good the labels are."""
    table = Table(
        name="supervision",
        title="The weak models' labels",
        columns=["objective", "weak", "seed", "label accuracy"],
        rows=[[s.objective, s.weak, s.seed, s.accuracy] for s in found.supervision],
        caption="Of the transfer split.",
    )
    return Section("Supervision", tables=[table])


def seeds(found: Figures) -> Section:
    """Every student of every seed."""
    return Section("Each seed", tables=[student_table("seeds", "Every student", found.students, seeds=True)])
