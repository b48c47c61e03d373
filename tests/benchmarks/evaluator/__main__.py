"""Runs the evaluator's benchmarks and writes `out/bench/evaluator.json`: `make bench-evaluator`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.evaluator import bootstrap, monitor
from benchmarks.report import Report

PARTS = {"bootstrap": bootstrap.run, "stream": monitor.stream, "student": monitor.student}


def main() -> None:
    report = Report("evaluator")
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), report)
    print(f"written to {report.write()}")


if __name__ == "__main__":
    main()
