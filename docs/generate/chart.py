"""The chart's values, from the comments of its values file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "w2s"
_MARK = "# -- "


def chart_page() -> str:
    """Every value with its default, as Markdown."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    lines = [f"# {chart['name']} {chart['version']}", "", f"{chart['description']}.", ""]
    lines += ["Generated from `values.yaml`. How to install it: docs/cluster.md.", ""]
    lines += ["| value | default | |", "|---|---|---|"]
    text = (CHART / "values.yaml").read_text()
    return "\n".join([*lines, *_rows(text.splitlines(), yaml.safe_load(text))]) + "\n"


def _rows(lines: list[str], values: Any) -> Iterator[str]:
    path: list[str] = []
    said: list[str] = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(_MARK):
            said = [stripped.removeprefix(_MARK)]
        elif stripped.startswith("# "):
            said.append(stripped.removeprefix("# "))
        elif stripped and not stripped.startswith("-"):
            depth = (len(line) - len(line.lstrip())) // 2
            path = [*path[:depth], stripped.partition(":")[0]]
            if said:
                yield f"| `{'.'.join(path)}` | `{json.dumps(_at(values, path))}` | {' '.join(said)} |"
            said = []


def _at(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values
