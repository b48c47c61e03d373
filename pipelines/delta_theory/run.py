"""The step of the delta-theory pipeline."""

from __future__ import annotations

from pathlib import Path

from pipelines.delta_theory.plan import Plan
from pipelines.plans import make_plan
from pipelines.steps.guard import step
from pipelines.steps.items import Json


@step
def report(settings: Json, html: str, markdown: str, folder: str) -> dict[str, float]:
    """Simulates every regime, and writes the report; returns its scalar metrics."""
    # Imported here: a refused plan needs neither numbers nor plots.
    from pipelines.delta_theory.report import document  # noqa: PLC0415
    from pipelines.delta_theory.simulate import simulate  # noqa: PLC0415
    from pipelines.reporting.write import markdown as as_markdown  # noqa: PLC0415
    from pipelines.reporting.write import write  # noqa: PLC0415

    plan = make_plan(Plan, settings)
    found = document(plan, simulate(plan))
    write(found, Path(folder))
    Path(html).write_text((Path(folder) / "report.html").read_text())
    Path(markdown).write_text(as_markdown(found))
    return found.figures
