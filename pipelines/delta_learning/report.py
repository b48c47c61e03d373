"""The report of a delta learning experiment."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipelines.delta_learning.collect import Change, Report
from pipelines.delta_learning.plan import ARMS, DELTA
from pipelines.reporting.document import Cell, Document, Plot, Section, Table
from pipelines.reporting.draw import color, draw
from w2s.tasks import get_task


def document(report: Report) -> Document:
    """The report as a page, tables and plots."""
    return Document(
        title=f"Delta learning on {report.task}",
        lead=_lead(report),
        summary=_summary(report),
        sections=[
            Section(
                "Before", ["What each model gets right by itself; training never reads these marks."], [_bases(report)]
            ),
            Section("Change", plots=_plots(report)),
            *([Section("Benchmarks", tables=[_benchmarks(report)])] if report.changes[0].benchmarks else []),
        ],
        provenance=report.provenance,
        data=report,
        figures=figures(report),
        failures=_failures(report),
    )


def figures(report: Report) -> dict[str, float]:
    """Scalar metrics under names that are the same in every run: of the arms, means over rungs."""
    found = {f"{report.metric}_student": report.student, "arms_failed": float(len(report.failures))}
    for base in report.bases[:-1]:
        found[f"{report.metric}_{base.role.replace(' ', '_')}"] = base.score
    for arm in dict.fromkeys(change.arm for change in report.changes):
        changes = [change.change for change in report.changes if change.arm == arm]
        found[f"change_{arm}"] = sum(changes) / len(changes)
    return found


def _lead(report: Report) -> list[str]:
    clear = [c for c in report.changes if c.clear]
    said = [
        f"Two teachers answer the same prompts greedily, and a student learns to prefer the larger one's answers, by "
        f"length-normalised DPO; nobody judges them. {report.examples} test prompts, {report.seeds} seed(s). A change "
        "is of the share of right answers, with a paired 95 % interval over prompts.",
        f"{len(clear)} of {len(report.changes)} changes are clear of zero: "
        f"{', '.join(f'{c.arm} {c.change:+.3f}' for c in clear) or 'none'}.",
    ]
    if get_task(report.task).source.kind == "generated":
        said.append("The prompts are generated, since real ones are at floor for models of this size.")
    return said


def _summary(report: Report) -> Table:
    rows: list[list[Cell]] = [["student, before", "", "", report.student, "", "", None, None]]
    for c in report.changes:
        shown = f"{c.change:+.3f} [{c.low:+.3f}, {c.high:+.3f}]"
        said = "clear" if c.clear else "not significant"
        rejected = "" if c.rejected == c.chosen else c.rejected
        rows.append([c.arm, c.chosen, rejected, c.score, shown, said, c.rows, c.dropped])
    columns = ["arm", "chosen", "rejected", report.metric, "change [95 %]", "", "rows", "dropped"]
    caption = f"{report.examples} test prompts; dropped: prompts that both answered alike"
    return Table(name="summary", title=f"Delta learning on {report.task}", columns=columns, rows=rows, caption=caption)


def _bases(report: Report) -> Table:
    rows: list[list[Cell]] = [[base.role, base.model, base.score] for base in report.bases]
    return Table(name="models", title="Models", columns=["role", "model", report.metric], rows=rows)


def _benchmarks(report: Report) -> Table:
    names = list(report.changes[0].benchmarks)
    rows: list[list[Cell]] = [[c.arm, c.chosen, c.rejected, *(c.benchmarks[n] for n in names)] for c in report.changes]
    return Table(
        name="benchmarks", title="Change in benchmarks", columns=["arm", "chosen", "rejected", *names], rows=rows
    )


def _failures(report: Report) -> Table | None:
    rows: list[list[Cell]] = [[f.arm, f.chosen, f.rejected, f.seed, f.reason] for f in report.failures]
    columns = ["arm", "chosen", "rejected", "seed", "reason"]
    return Table(name="failures", title="What failed", columns=columns, rows=rows) if rows else None


def _plots(report: Report) -> list[Plot]:
    drawn = [draw("change", "Change of each arm, with 95 % intervals.", lambda: _paint(report.changes))]
    deltas = [c for c in report.changes if c.arm == DELTA]
    if len(deltas) > 1:
        caption = "Change by how much better the chosen teacher is: the ladder."
        drawn.append(draw("ladder", caption, lambda: _paint_ladder(report, deltas)))
    return drawn


def _paint(changes: list[Change]) -> Figure:
    figure, axes = plt.subplots(figsize=(7.2, 0.9 + 0.36 * len(changes)))
    for y, c in enumerate(changes):
        tint = color(c.arm, list(ARMS))
        axes.plot([c.low, c.high], [y, y], color=tint, lw=4, alpha=0.55)
        axes.scatter([c.change], [y], color=tint, s=42, zorder=3)
    labels = [c.arm if c.chosen == c.rejected else f"{c.arm}: {c.chosen} > {c.rejected}" for c in changes]
    axes.set_yticks(range(len(changes)), labels, fontsize=8)
    axes.axvline(0, color="black", lw=0.8, ls=":")
    axes.set(xlabel="change of the share of right answers")
    axes.invert_yaxis()
    return figure


def _paint_ladder(report: Report, deltas: list[Change]) -> Figure:
    scores = {base.model: base.score for base in report.bases[:-1]}
    figure, axes = plt.subplots(figsize=(5.2, 3.6))
    for c in deltas:
        gap = scores[c.chosen] - scores[c.rejected]
        axes.errorbar(
            [gap], [c.change], [[c.change - c.low], [c.high - c.change]], fmt="o", color=color(DELTA, list(ARMS))
        )
    axes.axhline(0, color="black", lw=0.8, ls=":")
    axes.set(xlabel="gap between the teachers", ylabel="change of the student")
    return figure
