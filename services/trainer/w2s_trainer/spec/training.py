"""How training goes."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from w2s_trainer.spec.frozen import Frozen


class Schedule(StrEnum):
    """How the learning rate falls after its warm-up."""

    LINEAR = "SCHEDULE_LINEAR"
    COSINE = "SCHEDULE_COSINE"
    CONSTANT = "SCHEDULE_CONSTANT"


class Precision(StrEnum):
    """What is computed in; AUTO is bfloat16 on a GPU and float32 on a CPU."""

    AUTO = "PRECISION_UNSPECIFIED"
    FLOAT32 = "PRECISION_FLOAT32"
    BFLOAT16 = "PRECISION_BFLOAT16"


class TrainingConfig(Frozen):
    """How training goes.

    Attributes:
        epochs: Passes over the dataset.
        batch_size: Examples an optimiser step.
        learning_rate: AdamW's peak learning rate for body weights.
        head_learning_rate: The same for the head; `learning_rate` when None.
        weight_decay: AdamW's weight decay.
        warmup_fraction: Share of steps before the learning rate begins to fall.
        seed: Seeds the head, the order of examples and dropout.
        evaluations: How often held-out data is scored, evenly spread.
        schedule: How the learning rate falls.
        min_lr_fraction: Where a cosine ends, as a share of the peak.
        max_grad_norm: What gradients are clipped to; 0 never.
        precision: What is computed in.
    """

    epochs: int = Field(default=2, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=65536)
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    head_learning_rate: float | None = Field(default=None, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    warmup_fraction: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    evaluations: int = Field(default=0, ge=0, le=1000)
    schedule: Schedule = Schedule.LINEAR
    min_lr_fraction: float = Field(default=0.0, ge=0, le=1)
    max_grad_norm: float = Field(default=0.0, ge=0)
    precision: Precision = Precision.AUTO
