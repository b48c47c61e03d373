"""The plots of a report beyond accuracy."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Drawing

from pipelines.beyond_accuracy.figures import Figure, Figures, Result
from pipelines.reporting.draw import color


def paint_scores(rows: list[Result]) -> Drawing:
    """Supervisor, students and ceiling in each metric, with intervals; rows are those of one part's summary."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    figure, panels = plt.subplots(1, len(metrics), figsize=(3.3 * len(metrics), 3.4), squeeze=False, sharey=True)
    for axes, metric in zip(panels[0], metrics, strict=True):
        shown = list(_models([row for row in rows if row.metric == metric]))
        for place, (name, score) in enumerate(shown):
            low, high = _ends(score)
            axes.plot([place, place], [low, high], color=color(name), lw=2.5, alpha=0.6)
            axes.scatter([place], [score.value], color=color(name), s=42, zorder=3)
        better = "lower" if rows[0].lower_is_better else "higher"
        axes.set(title=f"{metric.replace('_', ' ')}\n({better} is better)", xlim=(-0.6, len(shown) - 0.4))
        axes.set_xticks(range(len(shown)), [name for name, _ in shown], rotation=30, ha="right")
        axes.title.set_fontsize(10)
    return figure


def paint_pgr(found: Figures) -> Drawing:
    """PGR of every part, metric and method, with intervals."""
    rows = found.summary
    figure, axes = plt.subplots(figsize=(8.4, 0.9 + 0.3 * len(rows)))
    for y, row in enumerate(rows):
        pgr = row.pgr
        if pgr.value is None or pgr.low is None or pgr.high is None:
            axes.annotate(pgr.status, (0.02, y), va="center", color="#a33", fontsize=8)
            continue
        axes.plot([pgr.low, pgr.high], [y, y], color=color(row.method), lw=4, alpha=0.55)
        axes.scatter([pgr.value], [y], color=color(row.method), s=42, zorder=3)
    for x in (0, 1):
        axes.axvline(x, color="black", lw=0.8, ls=":")
    labels = [f"{row.part}, {row.metric.replace('_', ' ')}, {row.method}" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set(xlabel="performance gap recovered (0: weak, 1: ceiling)", title="PGR with 95 % bootstrap intervals")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _models(rows: list[Result]) -> Iterator[tuple[str, Figure]]:
    yield "weak", rows[0].weak
    for row in rows:
        yield row.method, row.student
    yield "ceiling", rows[0].ceiling


def _ends(score: Figure) -> tuple[float, float]:
    return (score.value if score.low is None else score.low, score.value if score.high is None else score.high)
