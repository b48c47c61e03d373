"""One line of progress in a step's log, for people to read and for the local runner to draw."""

from __future__ import annotations

import re
from dataclasses import dataclass

from w2s.common.v1 import common_pb2 as pb

_LINE = re.compile(r"(?P<label>\S+) +(?P<stage>\S+) +(?P<step>\d+)/(?P<total>\d+)(?P<figures>.*)")


@dataclass(frozen=True)
class Line:
    """What a progress line says: step of total in a stage, and figures as text."""

    label: str
    stage: str
    step: int
    total: int
    figures: str


def format_line(label: str, progress: pb.Progress) -> str:
    """A line such as `naive:1  train  120/760  loss 0.5320`."""
    figures = "".join(f"  {name} {value:.4g}" for name, value in sorted(progress.metrics.items()))
    return f"{label}  {progress.stage}  {progress.step}/{progress.total_steps}{figures}"


def parse_line(text: str) -> Line | None:
    """What a progress line says, or None when it is another line."""
    match = _LINE.fullmatch(text.strip())
    if match is None:
        return None
    return Line(match["label"], match["stage"], int(match["step"]), int(match["total"]), match["figures"].strip())
