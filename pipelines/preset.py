"""Presets: a pipeline's settings as a file, all of them, under the names that its form has.

The defaults of KFP's form are those of `tiny`: what a click runs is what was tested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from w2s.errors import InvalidArgument

PRESETS = ("tiny", "small", "paper")
DEFAULT = "tiny"

_FOLDER = Path(__file__).parent / "presets"


def load(pipeline: str, preset: str) -> dict[str, Any]:
    """A preset's settings, as its file has them.

    Raises:
        InvalidArgument: There is no such preset.
    """
    if preset not in PRESETS:
        raise InvalidArgument("preset", f"must be one of {', '.join(PRESETS)}, got {preset!r}")
    path = _FOLDER / pipeline.replace("-", "_") / f"{preset}.yaml"
    settings: dict[str, Any] = yaml.safe_load(path.read_text())
    return settings


def override(settings: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Settings with some of them changed.

    Args:
        settings: Values by name.
        changes: `name=value` each; values are YAML, so `seeds=[0,1]` is a list.

    Raises:
        InvalidArgument: One is no such text, or names no setting.
    """
    changed = dict(settings)
    for change in changes:
        name, given, value = change.partition("=")
        if not given:
            raise InvalidArgument("set", f"must be name=value, got {change!r}")
        if name not in settings:
            raise InvalidArgument(name, f"is no setting of this pipeline; there are {', '.join(sorted(settings))}")
        try:
            changed[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InvalidArgument(name, f"is no YAML value: {value!r}") from error
    return changed
