"""The report of the theorem's experiment."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from pydantic import BaseModel

from pipelines.delta_theory.plan import Plan
from pipelines.delta_theory.simulate import Regime
from pipelines.plans import Json
from pipelines.reporting.document import Cell, Document, Section, Table
from pipelines.reporting.draw import color, draw
from pipelines.reporting.provenance import provenance

# What the draw of inputs leaves of a slope that is none.
_NOISE = 0.005
_METHODS = ("preferences", "fine-tuning on chosen")


class Report(BaseModel):
    """Every regime, and what made it."""

    regimes: list[Regime]
    provenance: Json


def document(plan: Plan, regimes: list[Regime]) -> Document:
    """The report as a page, tables and plots."""
    report = Report(regimes=regimes, provenance=provenance("delta-theory", plan))
    return Document(
        title="Delta learning in logistic regression",
        lead=[
            "A student is moved along one gradient: of preferences between two teachers' answers, or of fine-tuning on "
            "the better one's. Its cosine with the truth is its skill; the best point is chosen by an oracle, since "
            "either method goes past it.",
            f"{plan.space.dimensions} dimensions, {plan.space.inputs:,} inputs, {len(plan.seeds)} seed(s).",
            *(_found(shared, [r for r in regimes if r.shared == shared]) for shared in plan.teachers.shared),
        ],
        summary=_summary(regimes),
        sections=[
            Section(
                "Along the gradient",
                plots=[
                    draw(
                        "curves",
                        "The student's cosine with the truth; dotted: where it began.",
                        lambda: _paint(regimes),
                    )
                ],
            )
        ],
        provenance=report.provenance,
        data=report,
        figures=figures(regimes),
    )


def _found(shared: float, regimes: list[Regime]) -> str:
    """What came out where errors are shared so much."""
    helps = [r for r in regimes if r.preferences.slope > _NOISE]
    hurts = [r for r in regimes if r.tuning.slope < -_NOISE]
    ahead = [r for r in regimes if r.preferences.best > r.tuning.best]
    return (
        f"With {shared:g} of the errors shared, preferences help from the first step in {len(helps)} of {len(regimes)} "
        f"cases and end above fine-tuning in {len(ahead)}; fine-tuning hurts from the first step in {len(hurts)}."
    )


def figures(regimes: list[Regime]) -> dict[str, float]:
    """Scalar metrics: the largest distance to the closed form, and what helps in how many regimes."""
    theory = [abs(r.preferences.best - r.theory_best) for r in regimes if r.theory_best is not None]
    found = {
        "preferences_help": float(sum(r.preferences.slope > _NOISE for r in regimes)),
        "tuning_helps": float(sum(r.tuning.slope > _NOISE for r in regimes)),
        "regimes": float(len(regimes)),
    }
    return found | ({"largest_distance_to_theory": max(theory)} if theory else {})


def _summary(regimes: list[Regime]) -> Table:
    who = ["errors shared", "student", "chosen", "rejected"]
    what = ["best by preferences", "closed form", "best by fine-tuning"]
    ways = ["first step: preferences", "first step: fine-tuning", "limit of preferences"]
    rows: list[list[Cell]] = [
        [
            r.shared,
            r.student,
            r.chosen,
            r.rejected,
            f"{r.preferences.best:.4f}",
            None if r.theory_best is None else f"{r.theory_best:.4f}",
            f"{r.tuning.best:.4f}",
            _way(r.preferences.slope),
            _way(r.tuning.slope),
            r.theory_limit,
        ]
        for r in regimes
    ]
    caption = "Cosines with the truth; means over seeds. The closed form is for independent errors."
    return Table(
        name="summary",
        title="Delta learning in logistic regression",
        columns=who + what + ways,
        rows=rows,
        caption=caption,
    )


def _way(slope: float) -> str:
    way = "neither" if abs(slope) <= _NOISE else "helps" if slope > 0 else "hurts"
    return f"{way} ({slope:+.3f})"


def _paint(regimes: list[Regime]) -> Figure:
    columns = min(3, len(regimes))
    lines = -(-len(regimes) // columns)
    figure, panels = plt.subplots(lines, columns, figsize=(3.5 * columns, 2.7 * lines), squeeze=False, sharex=True)
    for axes, regime in zip(panels.flat, regimes, strict=False):
        for name, curve in zip(_METHODS, (regime.preferences, regime.tuning), strict=True):
            axes.plot(curve.times, curve.cosines, color=color(name, list(_METHODS)), lw=1.6, label=name)
        axes.axhline(regime.student, color="black", lw=0.8, ls=":")
        axes.set_title(f"chosen {regime.chosen}, rejected {regime.rejected}, shared {regime.shared}", fontsize=9)
    for axes in panels.flat[len(regimes) :]:
        axes.set_visible(False)
    panels[0][0].legend(frameon=False, fontsize=8)
    return figure
