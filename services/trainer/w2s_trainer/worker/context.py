"""What a run's process is given to do its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from w2s.jobs import Progress
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import Resources, RunSpec


@dataclass(frozen=True)
class RunContext:
    """A run, as one of its processes sees it.

    Attributes:
        run_id: The run's id.
        spec: What decides its result.
        resources: What it is executed on.
        settings: Where artifacts are, what to run on, and when to write checkpoints.
        send: Reports progress; does nothing on ranks other than 0. A Progress whose stage is
            `checkpoint` says that one has been written.
        stop_requested: Whether this process has been asked to stop. The work then writes a
            checkpoint and raises Stopped; ranks may learn of it at different steps.
        rank: This process among all of the run's, from 0.
        world: How many there are.
        commits: As in `Order`.
    """

    run_id: str
    spec: RunSpec
    resources: Resources
    settings: TrainerSettings
    send: Callable[[Progress], None]
    stop_requested: Callable[[], bool]
    rank: int = 0
    world: int = 1
    commits: Mapping[str, str] = field(default_factory=dict)


class Stopped(Exception):
    """The run was asked to stop, and its checkpoint is written."""


# A run's work, from its context to its result as JSON.
Execute = Callable[[RunContext], dict[str, Any]]
