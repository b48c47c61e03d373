"""The step of the delta-theory pipeline."""

from __future__ import annotations

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
    from pipelines.reporting.write import publish  # noqa: PLC0415

    plan = make_plan(Plan, settings)
    found = document(plan, simulate(plan))
    return publish(found, html, markdown, folder)
