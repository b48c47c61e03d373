"""The `w2s` command, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

W2S = Path(sys.executable).parent / "w2s"
# Small enough for a test, large enough to train on.
TINY = ["--train-rows=160", "--validation-rows=40", "--test-rows=150", "--slots=2"]


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [W2S, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "120", **variables},
    )


def processes_of(folder: Path) -> list[str]:
    """Command lines of live processes that name the folder or were given it in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in text for text in said):
            found.append(" ".join(process.cmdline()))
    return found
