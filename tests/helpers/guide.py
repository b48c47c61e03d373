"""Runs what a guide says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping


def run_blocks(guide: str, variables: Mapping[str, str]) -> str:
    """Runs a guide's Python, block after block, as one script; what it printed."""
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def metrics_named(guide: str, prefix: str) -> set[str]:
    """The metrics of a guide's table, as a registry names them; the prefix may stand once a row."""
    cells = re.findall(rf"^\| (`{prefix}[^|]+) \|", guide, re.MULTILINE)
    named = [name.strip("`") for cell in cells for name in cell.split(", ")]
    return {f"{prefix}{name.removeprefix(prefix)}".removesuffix("_total") for name in named}
