"""What the theorem's experiment will do."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.delta_theory.plan import Plan
from pipelines.estimate import Work


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan: no model runs."""
    yield Work("simulate", "", len(plan.settings) * len(plan.seeds), plan.space.inputs)
