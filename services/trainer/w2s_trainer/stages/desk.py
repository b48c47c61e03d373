"""What the stages of a run work with."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist

from w2s.artifacts import ArtifactStore
from w2s.models.runtime import pick_device
from w2s.models.sources import ModelSources
from w2s_trainer.loop.checkpoints import Checkpoints
from w2s_trainer.loop.course import Course
from w2s_trainer.spec import Precision, Schedule, Sharding, TrainingConfig
from w2s_trainer.worker.context import RunContext

_SCHEDULES: dict[Schedule, Literal["linear", "cosine", "constant"]] = {
    Schedule.LINEAR: "linear",
    Schedule.COSINE: "cosine",
    Schedule.CONSTANT: "constant",
}


# One process may be hours ahead of another, which labels or encodes meanwhile.
_PATIENCE = timedelta(hours=12)


class Desk:
    """A run's process: where it reads and writes, what it runs on, and whom it listens to.

    Args:
        context: The run.
    """

    def __init__(self, context: RunContext) -> None:
        self.settings = context.settings
        self.run_id = context.run_id
        self.send = context.send
        self.store = ArtifactStore(self.settings.artifact_root, self.settings.cache_folder / "artifacts")
        self.sources = ModelSources(self.store, self.settings.model_roots, allow_hub=self.settings.allow_hub)
        self.workspace = self.store.workspace("models", context.run_id)
        self.cache = Path(self.settings.cache_folder)
        self.first = context.rank == 0
        self.world = context.world
        self.commits = context.commits
        self._context = context
        self.device = _device(self.settings.device, context.world)
        self._saved = time.monotonic()
        if self.world > 1:
            _join(self.device)

    def course(self, training: TrainingConfig) -> Course:
        """A training's settings as the loop takes them, for this run's device and processes."""
        on_gpu = self.device.type == "cuda"
        rate = training.learning_rate
        return Course(
            epochs=training.epochs,
            batch_size=training.batch_size,
            learning_rate=rate,
            head_learning_rate=rate if training.head_learning_rate is None else training.head_learning_rate,
            weight_decay=training.weight_decay,
            warmup_fraction=training.warmup_fraction,
            schedule=_SCHEDULES[training.schedule],
            min_lr_fraction=training.min_lr_fraction,
            max_grad_norm=training.max_grad_norm,
            bfloat16=training.precision is Precision.BFLOAT16 or (training.precision is Precision.AUTO and on_gpu),
            seed=training.seed,
            evaluations=training.evaluations,
            token_budget=self.settings.train_token_budget or (16384 if on_gpu else 1024),
            fully_sharded=self._context.resources.sharding is Sharding.FULLY_SHARDED and self.world > 1,
        )

    def checkpoints(self, stage: str) -> Checkpoints:
        """Where a stage's checkpoints are."""
        scratch = self.cache / "runs" / f"{self.run_id}-{stage}"
        return Checkpoints(self.workspace, stage, self.settings.keep_checkpoints, scratch)

    def stop_requested(self) -> bool:
        """Whether this process has been asked to stop."""
        return self._context.stop_requested()

    def save_due(self) -> bool:
        """Whether the last checkpoint is long ago, as the first process sees it."""
        due = self.first and time.monotonic() - self._saved >= self.settings.checkpoint_seconds
        if due:
            self._saved = time.monotonic()
        return due

    def wait_for_all(self) -> None:
        """Waits until all processes of the run are here."""
        if self.world > 1:
            dist.barrier()


def _join(device: torch.device) -> None:
    """Joins the run's processes before any of them waits for another, which may be before anything is trained."""
    if dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)


def _device(wanted: str, world: int) -> torch.device:
    device = pick_device(wanted)
    if device.type == "cuda" and world > 1:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
