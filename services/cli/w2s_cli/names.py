"""Pipelines and presets as arguments of commands, which a shell completes."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines import preset as presets
from pipelines.catalog import PIPELINES


def _pipelines() -> list[tuple[str, str]]:
    return [(name, pipeline.title) for name, pipeline in sorted(PIPELINES.items())]


def _presets() -> list[str]:
    return list(presets.PRESETS)


Pipeline = Annotated[str, typer.Argument(help=f"One of: {', '.join(sorted(PIPELINES))}.", autocompletion=_pipelines)]
Preset = Annotated[str, typer.Option(help=f"One of: {', '.join(presets.PRESETS)}.", autocompletion=_presets)]
