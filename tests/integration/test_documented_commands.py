"""The commands that the documentation shows, run as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command import W2S, processes_of

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page):
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def told(page, heading):
    """A section's commands and Python, in their order, as one script."""
    section = (DOCS / page).read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"```(sh|python)\n(.*?)```", section, re.DOTALL)
    python = shlex.quote(sys.executable)
    return "".join(code if kind == "sh" else f"{python} - <<'END'\n{code}END\n" for kind, code in found)


def run(script, folder):
    """Runs a script in a folder that has the environment where a checkout has it; what it printed."""
    bin_ = folder / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "w2s").symlink_to(W2S)
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_services_that_are_started_by_hand_answer_and_end(tmp_path):
    script = told("index.md", "By hand")
    assert script.splitlines()[-1] == ".venv/bin/w2s down"
    try:
        printed = run(f"trap '.venv/bin/w2s down' ERR\n{script}", tmp_path)
    finally:
        left = processes_of(tmp_path)
    assert "Paris" in printed
    assert "Rome" in printed
    assert left == []


@pytest.mark.parametrize(
    "script",
    [line for line in blocks("pipelines.md")[0].splitlines() if "w2s run" in line]
    + [block.rstrip() for block in blocks("results.md") if "w2s run" in block],
)
def test_pipelines_are_run_as_they_are_shown(script, tmp_path):
    # Each of them takes minutes; the settings are read and the steps planned all the same.
    assert "seed" in run(script if "--dry-run" in script else f"{script} --dry-run", tmp_path)
