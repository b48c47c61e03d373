"""Writes the dashboards: `python -m dashboards`, with `charts` on the path."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.deception import deception
from dashboards.overview import overview
from dashboards.supervisor import supervisor
from dashboards.trainer import trainer

FOLDER = Path(__file__).parents[1] / "w2s" / "files" / "dashboards"


def main() -> None:
    """Writes each to a file of its own."""
    for make in (overview, deception, supervisor, trainer):
        text = json.dumps(make(), indent=2, ensure_ascii=False) + "\n"
        (FOLDER / f"{make.__name__}.json").write_text(text)


if __name__ == "__main__":
    main()
