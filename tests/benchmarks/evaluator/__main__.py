"""Runs the evaluator's benchmarks and writes `out/bench/evaluator.json`: `make bench-evaluator`."""

from __future__ import annotations

from benchmarks.evaluator import bootstrap, monitor
from benchmarks.report import run_parts

PARTS = {"bootstrap": bootstrap.run, "stream": monitor.stream, "student": monitor.student}

if __name__ == "__main__":
    run_parts("evaluator", PARTS)
