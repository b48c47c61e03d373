"""How a training goes, as the loop takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from w2s_trainer.loop.contract import Criterion, Examples

# Told (what is being done, step, total steps, figures by name).
Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Course:
    """The settings of a training; ranges as the proto's TrainingConfig.

    Attributes:
        epochs: Passes over the examples.
        batch_size: Examples an optimiser step.
        learning_rate: AdamW's peak.
        head_learning_rate: The same for the head.
        weight_decay: AdamW's.
        warmup_fraction: Share of steps before the learning rate begins to fall.
        schedule: How it falls.
        min_lr_fraction: Where a cosine ends, as a share of the peak.
        max_grad_norm: What gradients are clipped to; 0 never.
        bfloat16: Computes in bfloat16 where that is safe (autocast).
        seed: Seeds the order of examples and dropout.
        evaluations: How often curves are scored, evenly spread.
        token_budget: Padded tokens of a micro-batch.
        fully_sharded: Shares weights and optimiser state out among the processes (FSDP).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float = 0.0
    warmup_fraction: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    min_lr_fraction: float = 0.0
    max_grad_norm: float = 0.0
    bfloat16: bool = False
    seed: int = 0
    evaluations: int = 0
    token_budget: int = 1024
    fully_sharded: bool = False

    def steps(self, examples: int) -> int:
        """Optimiser steps over so many examples."""
        return self.epochs * -(-examples // self.batch_size)


@dataclass(frozen=True)
class Curve:
    """What is scored while training.

    Attributes:
        figures: The criterion's measures that are told, and what they are called then, such as
            `label_accuracy` and `heldout_agreement`.
        examples: What is scored.
        criterion: Whose measures are taken.
    """

    figures: Mapping[str, str]
    examples: Examples
    criterion: Criterion


@dataclass(frozen=True)
class Selection:
    """How the weights to keep are chosen.

    Attributes:
        figure: The figure that is to be best, by its name in the curves.
        lowest: The lowest is best, as of a loss.
        patience: Evaluations in a row without a better one that end training; 0 for none.
    """

    figure: str
    lowest: bool = False
    patience: int = 0


class Control(Protocol):
    """What the loop asks of whoever runs it."""

    def stop_requested(self) -> bool:
        """Whether to write a checkpoint and leave."""

    def save_due(self) -> bool:
        """Whether it is time for a checkpoint."""
