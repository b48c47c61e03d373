"""The commands that the documentation shows, run as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from helpers.command import W2S, processes_of

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page):
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


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
    (script,) = [block for block in blocks("index.md") if "w2s up" in block]
    assert script.splitlines()[-1] == ".venv/bin/w2s down"
    try:
        printed = run(f"trap '.venv/bin/w2s down' ERR\n{script}", tmp_path)
    finally:
        left = processes_of(tmp_path)
    assert "Paris" in printed
    assert left == []


@pytest.mark.parametrize("line", [line for line in blocks("pipelines.md")[0].splitlines() if "w2s run" in line])
def test_pipelines_are_run_as_they_are_shown(line, tmp_path):
    # Each of them takes minutes; the settings are read and the steps planned all the same.
    assert "seed" in run(line if "--dry-run" in line else f"{line} --dry-run", tmp_path)
