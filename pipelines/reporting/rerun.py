"""The command that makes a report again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from pipelines import preset as presets


def rerun_command(pipeline: str, settings: dict[str, Any]) -> str:
    """What to type for the same run: the preset that is nearest, and what differs from it.

    Args:
        pipeline: Its name in the catalogue.
        settings: Values by their flat names.
    """
    changes = {name: _differences(presets.load(pipeline, name), settings) for name in presets.PRESETS}
    nearest = min(presets.PRESETS, key=lambda name: len(changes[name]))
    sets = [f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in changes[nearest].items()]
    return " ".join(["w2s run", pipeline, f"--preset {nearest}", *sets])


def _differences(preset: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if not _same(preset.get(name), value)}


def _same(preset: Any, value: Any) -> bool:
    """Whether a preset says that; it leaves out fields of a model that have their defaults."""
    if isinstance(preset, list) and isinstance(value, list):
        return len(preset) == len(value) and all(map(_same, preset, value))
    if isinstance(preset, dict) and isinstance(value, dict):
        return all(_same(part, value.get(name)) for name, part in preset.items())
    return bool(preset == value)
