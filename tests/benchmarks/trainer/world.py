"""What the loop asks of whoever runs it, and a loop that is timed step by step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from w2s_trainer.loop.checkpoints import Checkpoints
from w2s_trainer.loop.contract import Criterion, Examples
from w2s_trainer.loop.course import Course
from w2s_trainer.loop.fit import fit


class Nowhere:
    """Folders of checkpoints that are never written."""

    def publish(self, name: str, folder: Path) -> None:
        raise AssertionError("no checkpoint was asked for")

    def folder(self, name: str) -> Path | None:
        return None

    def names(self) -> list[str]:
        return []

    def remove(self, name: str) -> None:
        raise AssertionError("there is no checkpoint")


class Calm:
    """Asks for nothing."""

    def stop_requested(self) -> bool:
        return False

    def save_due(self) -> bool:
        return False


@dataclass
class Steps:
    """When each optimiser step ended, and its figures.

    Attributes:
        ended: Seconds by a clock of its own.
        figures: What the loop tells of each step.
        seconds: In the loop as a whole.
    """

    ended: list[float] = field(default_factory=list)
    figures: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, stage: str, step: int, total: int, figures: dict[str, float]) -> None:
        self.ended.append(time.perf_counter())
        self.figures.append(figures)

    def per_second(self) -> float:
        """Steps a second; the first one only warms up."""
        return (len(self.ended) - 1) / (self.ended[-1] - self.ended[0])


def train(
    module: nn.Module,
    head: list[nn.Parameter],
    examples: Examples,
    criterion: Criterion,
    course: Course,
    scratch: Path,
    device: torch.device | None = None,
) -> Steps:
    """Trains with the trainer's own loop, as a worker does but for checkpoints."""
    steps = Steps()
    outcome = fit(
        module,
        head,
        examples,
        criterion,
        course,
        device=device or torch.device("cpu"),
        checkpoints=Checkpoints(Nowhere(), "main", 1, scratch),
        control=Calm(),
        report=steps.add,
    )
    steps.seconds = outcome.seconds
    return steps
