"""The training loop: transformers' Trainer with an objective of ours."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import set_seed

from w2s.jobs import Progress
from w2s.models.checkpoint import Checkpoint
from w2s.models.tokens import Tokens, pad
from w2s.objectives import auxiliary_confidence_loss, cross_entropy, harden, linear_ramp
from w2s_trainer.spec import Objective, TrainingConfig

# Logits [B, C], targets [B, C] and the share of steps done to a scalar loss.
Loss = Callable[[Tensor, Tensor, float], Tensor]
Send = Callable[[Progress], None]

_REPORTS = 50


def loss_function(objective: Objective) -> Loss:
    """The loss that an objective names."""
    if objective.auxiliary_confidence is not None:
        settings = objective.auxiliary_confidence

        def confidence(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
            alpha = settings.alpha_max * linear_ramp(progress, settings.warmup_fraction)
            return auxiliary_confidence_loss(logits, targets, alpha)

        return confidence
    hard = objective.cross_entropy is not None and objective.cross_entropy.harden
    return lambda logits, targets, progress: cross_entropy(logits, harden(targets) if hard else targets)


@dataclass(frozen=True)
class Examples(TorchDataset[dict[str, Any]]):
    """What the loop reads: token sequences, or features of a frozen body, and targets.

    Attributes:
        targets: Label distributions, shape [N, C], float32.
        features: What the head reads, shape [N, D]; None when the body trains.
        first: The first (or joined) sequences, length N; None with features.
        second: The second sequences of a pair encoder; else None.
    """

    targets: Tensor
    features: Tensor | None = None
    first: Sequence[Tokens] | None = None
    second: Sequence[Tokens] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        columns = {"targets": self.targets, "features": self.features, "text": self.first, "pair": self.second}
        return {name: column[index] for name, column in columns.items() if column is not None}


@dataclass(frozen=True)
class Outcome:
    """What a loop ended with: optimiser steps, the last loss in nats, and seconds."""

    steps: int
    train_loss: float
    seconds: float


def fit(
    checkpoint: Checkpoint,
    examples: Examples,
    objective: Objective,
    config: TrainingConfig,
    send: Send,
    score: Callable[[], dict[str, float]],
) -> Outcome:
    """Trains a checkpoint in place.

    Args:
        checkpoint: What is trained; its frozen parameters stay.
        examples: What it is trained on.
        objective: What training minimises.
        config: How.
        send: Reports progress.
        score: Figures on the held-out examples, called `config.evaluations` times.
    """
    set_seed(config.seed)
    steps = config.epochs * -(-len(examples) // config.batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=config.batch_size,
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=round(config.warmup_fraction * steps),
            seed=config.seed,
            data_seed=config.seed,
            bf16=torch.cuda.is_available(),
            use_cpu=checkpoint.model.device.type == "cpu",
            max_grad_norm=0.0,
            logging_steps=max(1, steps // _REPORTS),
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=checkpoint.model.device.type == "cuda",
        )
        trainer = _ObjectiveTrainer(
            loss_function(objective),
            model=checkpoint.model,
            args=arguments,
            train_dataset=examples,
            data_collator=_Collator(checkpoint),
            optimizers=(_optimizer(checkpoint, config), None),
            callbacks=[_Reporter(send, score, _evenly(config.evaluations, steps))],
        )
        # Its own callback prints logs on standard output; ours reports them.
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Outcome(trainer.state.global_step, losses[-1], time.perf_counter() - start)


class _ObjectiveTrainer(Trainer):
    """A Trainer whose loss knows how far training has come."""

    def __init__(self, loss: Loss, **options: Any) -> None:
        super().__init__(**options)
        self._loss = loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective on one optimiser batch."""
        targets = inputs.pop("targets")
        outputs = model(**inputs)
        loss = self._loss(outputs.logits, targets, self.state.global_step / self.state.max_steps)
        return (loss, outputs) if return_outputs else loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer's count takes the model's main input for one tensor."""
        return 0


class _Collator:
    """Pads a batch of examples."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tokenizer = checkpoint.tokenizer

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            batch[name] = pad(self._tokenizer, values) if name in ("text", "pair") else torch.stack(values)
        return batch


class _Reporter(TrainerCallback):
    """Sends losses and held-out figures as progress."""

    def __init__(self, send: Send, score: Callable[[], dict[str, float]], when: set[int]) -> None:
        self._send = send
        self._score = score
        self._when = when

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Reports the loss since the last report, and the learning rate."""
        if logs and "loss" in logs:
            metrics = {"loss": float(logs["loss"]), "learning_rate": float(logs["learning_rate"])}
            self._send(Progress("train", state.global_step, state.max_steps, metrics))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Scores the held-out examples when it is time."""
        if state.global_step in self._when:
            self._send(Progress("train", state.global_step, state.max_steps, self._score()))


def _optimizer(checkpoint: Checkpoint, config: TrainingConfig) -> torch.optim.Optimizer:
    model = checkpoint.model
    groups = [{"params": list(model.head.parameters()), "lr": config.head_learning_rate or config.learning_rate}]
    trained = [parameter for parameter in model.body.parameters() if parameter.requires_grad]
    if trained:
        groups.append({"params": trained, "lr": config.learning_rate})
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=model.device.type == "cuda")


def _evenly(times: int, steps: int) -> set[int]:
    """Step numbers that spread `times` evaluations over [1, steps], the last step included."""
    return {max(1, round(index * steps / times)) for index in range(1, times + 1)}
