"""Writes the pages that the code itself says."""

from __future__ import annotations

from pathlib import Path

from generate.api import api_page
from generate.chart import CHART, chart_page
from generate.command import command_page
from generate.configuration import configuration_page
from generate.tasks import tasks_page

FOLDER = Path(__file__).parents[1] / "reference"


def main() -> None:
    """Writes each page to a file of its own."""
    FOLDER.mkdir(exist_ok=True)
    pages = {"api": api_page, "configuration": configuration_page, "command": command_page, "tasks": tasks_page}
    for name, page in pages.items():
        (FOLDER / f"{name}.md").write_text(page())
    (CHART / "README.md").write_text(chart_page())


if __name__ == "__main__":
    main()
