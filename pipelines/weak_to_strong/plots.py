"""The plots of a weak-to-strong report."""

from __future__ import annotations

from functools import partial
from statistics import mean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.reporting.document import Plot
from pipelines.reporting.draw import color, draw
from pipelines.weak_to_strong.figures import Report, Result, Supervision
from pipelines.weak_to_strong.plan import CEILING, WEAK

_CAPTIONS = {
    "accuracy": "Test accuracy of the weak supervisor, of students trained on its labels, and of the ceiling.",
    "pgr": "How much of the gap between supervisor and ceiling each student closes.",
    "agreement": "How often a student says what its supervisor says, where that is right and where it is wrong.",
    "curves": "Training curves. Accuracy is on the validation split, against ground truth: where it falls while the "
    "loss on weak labels still does, the student learns its supervisor's errors. Nothing is selected by it here.",
    "labels": "How far the supervisor's confidence can be trusted, on the split that it labelled.",
}


def plots(report: Report) -> dict[str, Plot]:
    """The plots, by name."""
    painters = {"accuracy": _accuracy, "pgr": _pgr, "agreement": _agreement, "curves": _curves, "labels": _labels}
    return {name: draw(name, _CAPTIONS[name], partial(paint, report)) for name, paint in painters.items()}


def _accuracy(report: Report) -> Figure:
    """Accuracy of weak models, students and ceilings: a dot a seed, or a panel a weak model where there are several."""
    return _accuracy_of_gap(report) if len(report.gaps) == 1 else _accuracy_by_gap(report)


def _accuracy_of_gap(report: Report) -> Figure:
    first = report.results[0].method
    groups = {WEAK: [r.weak_accuracy for r in report.results if r.method == first]}
    for row in report.results:
        groups.setdefault(row.method, []).append(row.student_accuracy)
    groups[CEILING] = [r.ceiling_accuracy for r in report.results if r.method == first]
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for x, (name, values) in enumerate(groups.items()):
        axes.hlines(mean(values), x - 0.3, x + 0.3, color=color(name), lw=4)
        axes.scatter(_spread(x, len(values)), values, s=30, color=color(name), edgecolors="black", lw=0.6, zorder=3)
        axes.annotate(f"{mean(values):.3f}", (x, max(values)), (0, 7), textcoords="offset points", ha="center")
    axes.set(
        xticks=range(len(groups)),
        xticklabels=list(groups),
        ylabel="accuracy",
        title="Test accuracy (line: mean; dots: seeds)",
    )
    axes.margins(y=0.18)
    axes.grid(axis="x", visible=False)
    return figure


def _accuracy_by_gap(report: Report) -> Figure:
    teachers = list(dict.fromkeys(weak for weak, _ in report.gaps))
    learners = list(dict.fromkeys(student for _, student in report.gaps))
    figure, panels = plt.subplots(
        1, len(teachers), figsize=(1.6 + 3.2 * len(teachers), 3.6), sharey=True, squeeze=False
    )
    for axes, teacher in zip(panels[0], teachers, strict=True):
        rows = [row for row in report.summary if row.weak == teacher]
        for method in _methods(rows):
            _line(axes, learners, [(r.student, r.student_accuracy) for r in rows if r.method == method], method)
        _line(axes, learners, [(row.student, row.ceiling_accuracy) for row in rows], CEILING)
        axes.axhline(rows[0].weak_accuracy, color=color(WEAK), lw=1.4, ls="--", label=WEAK)
        axes.set(xticks=range(len(learners)), xticklabels=learners, title=f"taught by {teacher}")
        axes.tick_params(axis="x", labelrotation=20)
    panels[0][0].set(ylabel="test accuracy (mean of seeds)")
    panels[0][-1].legend(frameon=False)
    return figure


def _line(axes: Axes, learners: list[str], values: list[tuple[str, float]], name: str) -> None:
    points = sorted({(learners.index(learner), value) for learner, value in values})
    axes.plot(*zip(*points, strict=True), marker="o", ms=5, lw=1.4, color=color(name), label=name)


def _pgr(report: Report) -> Figure:
    """PGR with intervals: each seed, and each method over all seeds; of several gaps the latter alone."""
    one = len(report.gaps) == 1
    rows = [(f"{r.method}, seed {r.seed}", r) for r in report.results if one]
    rows += [(f"{r.method}, all seeds" if one else f"{r.weak} > {r.student}, {r.method}", r) for r in report.summary]
    figure, axes = plt.subplots(figsize=(6.4 if one else 8.4, 0.8 + 0.36 * len(rows)))
    for y, (_, row) in enumerate(rows):
        pgr = row.pgr
        if pgr.value is None or pgr.low is None or pgr.high is None:
            axes.annotate(pgr.status, (0.02, y), va="center", color="#a33")
            continue
        pooled = row.seed is None
        axes.plot([pgr.low, pgr.high], [y, y], color=color(row.method), lw=5 if pooled else 2, alpha=0.55)
        axes.scatter([pgr.value], [y], color=color(row.method), s=60 if pooled else 30, zorder=3)
    for x in (0, 1):
        axes.axvline(x, color="black", lw=0.8, ls=":")
    axes.set(
        yticks=range(len(rows)),
        yticklabels=[label for label, _ in rows],
        xlabel="performance gap recovered (0: weak, 1: ceiling)",
        title="PGR with 95 % bootstrap intervals",
    )
    axes.invert_yaxis()
    return figure


def _agreement(report: Report) -> Figure:
    """Agreement by method, of the gap's summary or each gap's, split by whether the supervisor is right."""
    one = len(report.gaps) == 1
    names = [row.method if one else f"{row.weak} > {row.student}\n{row.method}" for row in report.summary]
    figure, axes = plt.subplots(figsize=(max(4.8, 1.2 + 1.1 * len(names)), 3.4))
    parts: dict[str, list[float | None]] = {
        "all": [*(row.agreement for row in report.summary)],
        "supervisor right": [row.agreement_supervisor_right for row in report.summary],
        "supervisor wrong": [row.agreement_supervisor_wrong for row in report.summary],
    }
    for place, (part, values) in enumerate(parts.items()):
        shown = [(x + 0.25 * (place - 1), value) for x, value in enumerate(values) if value is not None]
        axes.bar([x for x, _ in shown], [value for _, value in shown], 0.23, label=part, color=color(part, [*parts]))
    axes.set(xticks=range(len(names)), xticklabels=names, ylim=(0, 1), title="Student-supervisor agreement")
    axes.legend(frameon=False, loc="lower right")
    axes.grid(axis="x", visible=False)
    return figure


def _methods(rows: list[Result]) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows))


def _curves(report: Report) -> Figure:
    """Training loss, validation accuracy, and where it was held out the agreement with weak labels, by step."""
    panels = {"loss": "training loss (nats)", "eval_accuracy": "validation accuracy"}
    if any("heldout_agreement" in curve.points for curve in report.curves):
        panels["heldout_agreement"] = "agreement with held-out labels"
    figure, drawn = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 3.6))
    for axes, (name, title) in zip(drawn, panels.items(), strict=True):
        _draw_curves(axes, report, name)
        axes.set(xlabel="optimiser step", title=title)
    drawn[1].legend(frameon=False)
    return figure


def _draw_curves(axes: Axes, report: Report, name: str) -> None:
    named = set()
    for curve in report.curves:
        points = curve.points.get(name)
        if points:
            label = None if curve.method in named else curve.method
            named.add(curve.method)
            axes.plot(*zip(*points, strict=True), color=color(curve.method), alpha=0.75, lw=1.2, label=label)


def _labels(report: Report) -> Figure:
    """Confidence of the weak labels against how often they are right, on the transfer split."""
    figure, (axes, counts) = plt.subplots(2, 1, figsize=(5.2, 4.6), sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    for supervision in report.supervision:
        bins = supervision.reliability
        axes.plot([b.confidence for b in bins], [b.accuracy for b in bins], marker="o", ms=4, lw=1.2, alpha=0.85,
                  label=_name(report, supervision))  # fmt: skip
        counts.plot([b.confidence for b in bins], [b.n for b in bins], drawstyle="steps-mid", lw=1.2, alpha=0.85)
    axes.plot([0.5, 1], [0.5, 1], color="black", lw=0.8, ls=":", label="calibrated")
    axes.set(ylabel="share right", title="Weak labels: confidence against correctness")
    axes.legend(frameon=False)
    counts.set(xlabel="confidence of the label", ylabel="labels")
    return figure


def _name(report: Report, supervision: Supervision) -> str:
    seed = f"seed {supervision.seed}"
    return seed if len({s.weak for s in report.supervision}) == 1 else f"{supervision.weak}, {seed}"


def _spread(x: float, n: int) -> list[float]:
    return [x + 0.12 * (index - (n - 1) / 2) for index in range(n)]
