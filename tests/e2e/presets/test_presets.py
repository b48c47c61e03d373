"""Every pipeline's `tiny` preset as a user runs it, on real weights and data: `make e2e`."""

from __future__ import annotations

import csv
import json
import re

import pytest
from helpers.command import start

from pipelines.catalog import PIPELINES

# Of PGR, and of deception where there are too few errors to have a figure.
STATUSES = re.compile(r"OK|UNDEFINED_GAP|GAP_BELOW_NOISE|SAME_MODEL|.*, fewer than \d+")


def parts(value):
    """A JSON value and all that is in it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from parts(part)


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
    plots = {path.stem for path in out.glob("*.png")}
    assert plots
    assert plots == {path.stem for path in out.glob("*.svg")}
    assert (out / "report.html").read_text().count("data:image/png;base64,") == len(plots)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["rows"]
    found = list(parts([summary, json.loads((out / "report.json").read_text())]))
    # JSON has null for what is not finite; CSV files have it as it is.
    cells = {cell for path in out.glob("*.csv") for row in csv.reader(path.open()) for cell in row}
    assert cells.isdisjoint({"nan", "inf", "-inf"})
    statuses = [part["status"] for part in found if isinstance(part, dict) and "status" in part]
    assert [status for status in statuses if not STATUSES.fullmatch(status)] == []
    print(printed[-3000:])  # noqa: T201 - what was found is part of the run's record
