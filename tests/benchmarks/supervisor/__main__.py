"""Runs the supervisor's benchmarks and writes `out/bench/supervisor.json`: `make bench-supervisor`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.report import Report
from benchmarks.supervisor import bulk, online

PARTS = {"bulk": bulk.run, "kserve": online.against_kserve, "swap": online.swaps_under_load}


def main() -> None:
    report = Report("supervisor")
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), report)
    print(f"written to {report.write()}")


if __name__ == "__main__":
    main()
