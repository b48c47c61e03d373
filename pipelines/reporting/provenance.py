"""What made a report."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pipelines.plans import BasePlan, Json, settings_of
from w2s.provenance import code_version, environment


def provenance(pipeline: str, plan: BasePlan, **made: Any) -> Json:
    """What made a report: the plan and the command that does it again, versions, and what is given.

    Args:
        pipeline: Its name in the catalogue.
        plan: The experiment.
        **made: Datasets, runs, teachers and the like, by role.
    """
    return {
        "pipeline": pipeline,
        "settings": settings_of(plan),
        "code_version": code_version(),
        "environment": environment() | {"kfp": metadata.version("kfp")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **{role: whole(what) for role, what in made.items()},
    }


def training_of(result: Json) -> Json:
    """What a training's result is of, its run, and its model."""
    return {**result["of"], "run": result["run"]["run"], "model": result["run"]["model"]}


def whole(value: Any) -> Any:
    """Numbers that KFP has made doubles, and that are whole, as whole ones again."""
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
