"""The plots of a deception report."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from pipelines.deception.figures import Area, Figure, Figures, Student, plain
from pipelines.deception.plan import CONFLICTS, MITIGATIONS, ORACLE_FILTER
from pipelines.reporting.draw import color

_RIGHT, _WRONG, _RANDOM = "#9cc3a5", "#b5485d", "#8a8f98"
_KNOWS = {True: "knows", False: "does not"}

Point = tuple[float, Figure]


def paint_areas(rows: list[Student]) -> Drawing:
    """What students have right and wrong in each of the four areas: a row a gap, a column a conflict."""
    gaps, conflicts = _distinct(row.gap for row in rows), _distinct(row.conflict for row in rows)
    figure, panels = plt.subplots(
        len(gaps), len(conflicts), figsize=(3.3 * len(conflicts) + 0.6, 3.0 * len(gaps)), sharey="row", squeeze=False
    )
    for row in rows:
        axes = panels[gaps.index(row.gap)][conflicts.index(row.conflict)]
        _bars(axes, row.at.areas)
        axes.set_title(f"{row.gap}\nconflict: {row.conflict}; score {_short(row.at.score)}", fontsize=7)
    for axes in panels[:, 0]:
        axes.set_ylabel("test pairs")
    panels[0][-1].legend(frameon=False, fontsize=8)
    return figure


def paint_trend(found: Figures) -> Drawing:
    """The score by the gap between weak model and ceiling: a panel an objective, a line a conflict."""
    rows = plain(found.cells)
    objectives = _distinct(row.objective for row in rows)
    figure, panels = plt.subplots(1, len(objectives), figsize=(5.4 * len(objectives), 3.8), sharey=True, squeeze=False)
    for axes, objective in zip(panels[0], objectives, strict=True):
        shown = [row for row in rows if row.objective == objective]
        for conflict in _distinct(row.conflict for row in shown):
            points = [(row.ceiling_accuracy - row.weak_accuracy, row.at.score) for row in _of(shown, conflict)]
            _line(axes, points, color(conflict, list(CONFLICTS)), f"conflict: {conflict}")
        _random(axes, [(row.ceiling_accuracy - row.weak_accuracy, row.at.base_rate) for row in shown])
        axes.set(title=objective, xlabel="accuracy of the ceiling less that of the weak model")
    panels[0][0].set(ylabel="deception score")
    panels[0][-1].legend(frameon=False)
    return figure


def paint_thresholds(found: Figures) -> Drawing:
    """The score by the threshold from which a model knows a pair: a panel an objective and gap, a line a conflict."""
    rows = plain(found.cells)
    cells = list(dict.fromkeys((row.objective, row.gap) for row in rows))
    figure, panels = plt.subplots(1, len(cells), figsize=(4.2 * len(cells), 3.6), sharey=True, squeeze=False)
    for axes, cell in zip(panels[0], cells, strict=True):
        shown = [row for row in rows if (row.objective, row.gap) == cell]
        for row in shown:
            points = [(at.threshold, at.score) for at in row.sweep]
            _line(axes, points, color(row.conflict, list(CONFLICTS)), f"conflict: {row.conflict}")
        _random(axes, [(at.threshold, at.base_rate) for at in shown[0].sweep])
        axes.set(xlabel="threshold of knowing")
        axes.set_title(f"{cell[0]}: {cell[1]}", fontsize=7)
    panels[0][0].set(ylabel="deception score")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def paint_mitigations(rows: list[Student]) -> Drawing:
    """The score under each mitigation, with intervals: a panel a gap, a colour a conflict."""
    gaps = _distinct(row.gap for row in rows)
    mitigations = [name for name in MITIGATIONS if any(row.mitigation == name for row in rows)]
    conflicts = _distinct(row.conflict for row in rows)
    figure, panels = plt.subplots(1, len(gaps), figsize=(4.8 * len(gaps), 3.8), sharey=True, squeeze=False)
    for axes, gap in zip(panels[0], gaps, strict=True):
        for row in (row for row in rows if row.gap == gap):
            x = mitigations.index(row.mitigation) + 0.2 * (conflicts.index(row.conflict) - (len(conflicts) - 1) / 2)
            _dot(axes, x, row.at.score, color(row.conflict, list(CONFLICTS)))
        names = [f"{name}\n(reads ground truth)" if name == ORACLE_FILTER else name for name in mitigations]
        axes.set_xticks(range(len(mitigations)), names, fontsize=7)
        axes.set_title(gap, fontsize=8)
    for conflict in conflicts:
        panels[0][0].plot(
            [], [], marker="o", ls="", color=color(conflict, list(CONFLICTS)), label=f"conflict: {conflict}"
        )
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    panels[0][0].set(ylabel="deception score")
    return figure


def _bars(axes: Axes, areas: list[Area]) -> None:
    places, right = list(range(len(areas))), [area.right for area in areas]
    axes.bar(places, right, color=_RIGHT, label="right", width=0.7)
    axes.bar(places, [area.wrong for area in areas], bottom=right, color=_WRONG, label="wrong", width=0.7)
    for place, area in enumerate(areas):
        top = area.right + area.wrong
        axes.annotate(
            f"{area.wrong:.0f} wrong", (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=7
        )
    names = [f"strong {_KNOWS[area.strong_known]},\nweak {_KNOWS[area.weak_known]}" for area in areas]
    axes.set_xticks(places, names, fontsize=6)
    axes.margins(y=0.14)
    axes.grid(axis="x", visible=False)


def _line(axes: Axes, points: Iterable[Point], hue: str, label: str) -> None:
    shown = sorted(((x, figure) for x, figure in points if figure.value is not None), key=lambda point: point[0])
    for x, figure in shown:
        axes.plot([x, x], [_end(figure.low), _end(figure.high)], color=hue, lw=1.2, alpha=0.5)
    axes.plot(
        [x for x, _ in shown], [_end(figure.value) for _, figure in shown], marker="o", ms=5, color=hue, label=label
    )


def _random(axes: Axes, points: Iterable[Point]) -> None:
    """What errors at random would score."""
    shown = sorted({(x, figure.value) for x, figure in points if figure.value is not None})
    axes.plot([x for x, _ in shown], [y for _, y in shown], color=_RANDOM, lw=1.4, ls="--", label="errors at random")


def _dot(axes: Axes, x: float, figure: Figure, hue: str) -> None:
    if figure.value is None:
        axes.annotate(f"n {figure.n}", (x, 0.02), rotation=90, ha="center", fontsize=6, color=hue)
        return
    axes.plot([x, x], [_end(figure.low), _end(figure.high)], color=hue, lw=3, alpha=0.5)
    axes.scatter([x], [figure.value], color=hue, s=32, zorder=3)


def _short(figure: Figure) -> str:
    return f"null (n {figure.n})" if figure.value is None else f"{figure.value:.2f}"


def _end(value: float | None) -> float:
    assert value is not None
    return value


def _of(rows: list[Student], conflict: str) -> list[Student]:
    return [row for row in rows if row.conflict == conflict]


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
