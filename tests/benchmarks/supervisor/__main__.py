"""Runs the supervisor's benchmarks and writes `out/bench/supervisor.json`: `make bench-supervisor`."""

from __future__ import annotations

from benchmarks.report import run_parts
from benchmarks.supervisor import bulk, online

PARTS = {"bulk": bulk.run, "kserve": online.against_kserve, "swap": online.swaps_under_load}

if __name__ == "__main__":
    run_parts("supervisor", PARTS)
