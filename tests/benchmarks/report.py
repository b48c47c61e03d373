"""What a benchmark found, as figures that a later run can be compared with."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from w2s.provenance import code_version, environment

OUT = Path(__file__).parents[2] / "out" / "bench"


@dataclass(frozen=True)
class Ratio:
    """A figure against its peer in the same run.

    Attributes:
        value: The median over runs.
        aim: What it should reach; stay within, where `holds` was made by `at_most`.
        holds: Whether it does.
        n: Runs.
        spread: The least and the greatest of the runs.
    """

    value: float
    aim: float
    holds: bool
    n: int
    spread: tuple[float, float]


def at_least(runs: list[float], aim: float) -> Ratio:
    value = statistics.median(runs)
    return Ratio(value, aim, value >= aim, len(runs), (min(runs), max(runs)))


def at_most(runs: list[float], aim: float) -> Ratio:
    value = statistics.median(runs)
    return Ratio(value, aim, value <= aim, len(runs), (min(runs), max(runs)))


@dataclass
class Report:
    """Ratios by name, and the raw figures behind them."""

    name: str
    ratios: dict[str, Ratio] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, ratio: Ratio) -> None:
        self.ratios[name] = ratio
        low, high = ratio.spread
        word = "holds" if ratio.holds else "MISSED"
        print(f"{name:<44} {ratio.value:8.2f}  [{low:.2f}, {high:.2f}]  aim {ratio.aim:g}  {word}", flush=True)

    def note(self, **figures: float) -> None:
        self.figures.update(figures)
        print("  " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)

    def write(self) -> Path:
        OUT.mkdir(parents=True, exist_ok=True)
        path = OUT / f"{self.name}.json"
        earlier = json.loads(path.read_text()) if path.exists() else {"ratios": {}, "figures": {}}
        machine = {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(), "code": code_version()}
        content = {
            # A part that was run by itself leaves the others' figures as they were.
            "ratios": earlier["ratios"] | {name: asdict(ratio) for name, ratio in self.ratios.items()},
            "figures": earlier["figures"] | self.figures,
            "environment": {**machine, **environment()},
        }
        path.write_text(json.dumps(content, indent=1))
        return path


def run_parts(name: str, parts: Mapping[str, Callable[[Path, Report], object]]) -> None:
    """Runs the parts that the command line names, all where it names none, and writes the report."""
    report = Report(name)
    for part in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[part](Path(folder), report)
    print(f"written to {report.write()}")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
