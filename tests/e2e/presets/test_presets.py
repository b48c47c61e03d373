"""Every pipeline's `tiny` preset as a user runs it, on real weights and data: `make e2e`."""

from __future__ import annotations

import json
import math

import pytest
from helpers.command import start

from pipelines.catalog import PIPELINES


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_a_preset_runs_offline_to_its_report(name, tmp_path):
    out = tmp_path / "out"
    process = start("run", name, "--preset=tiny", f"--out={out}", HF_HUB_OFFLINE="1")
    printed, _ = process.communicate(timeout=1700)
    assert process.returncode == 0, printed[-5000:]
    for file in ("report.html", "report.json", "summary.json", "summary.csv"):
        assert (out / file).stat().st_size > 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["rows"]
    assert all(math.isfinite(cell) for row in summary["rows"] for cell in row if isinstance(cell, float))
    print(printed[-3000:])  # noqa: T201 - what was found is part of the run's record
