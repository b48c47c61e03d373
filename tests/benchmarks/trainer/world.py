"""What the loop asks of whoever runs it, in a training that keeps nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from w2s_trainer.loop.checkpoints import Checkpoints
from w2s_trainer.loop.contract import Criterion, Examples
from w2s_trainer.loop.course import Course, Report
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


def train(
    module: nn.Module,
    head: list[nn.Parameter],
    examples: Examples,
    criterion: Criterion,
    course: Course,
    scratch: Path,
    *,
    report: Report = lambda *_: None,
    device: torch.device | None = None,
) -> None:
    """Trains with the trainer's own loop, as a worker does but for checkpoints; on the CPU if not told where."""
    fit(
        module,
        head,
        examples,
        criterion,
        course,
        device=device or torch.device("cpu"),
        checkpoints=Checkpoints(Nowhere(), "main", 1, scratch),
        control=Calm(),
        report=report,
    )
