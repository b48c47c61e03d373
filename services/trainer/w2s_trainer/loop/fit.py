"""Trains a model along a course."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from w2s_trainer.loop.checkpoints import Checkpoints
from w2s_trainer.loop.contract import Criterion, Examples
from w2s_trainer.loop.course import Control, Course, Curve, Report, Selection
from w2s_trainer.loop.randomness import seed_apart
from w2s_trainer.loop.scoring import score
from w2s_trainer.loop.selection import Best
from w2s_trainer.loop.trainer import ObjectiveTrainer

_REPORTS = 50


@dataclass(frozen=True)
class Outcome:
    """What a training ended with.

    Attributes:
        steps: Optimiser steps taken, those of earlier attempts included.
        selected_step: The step whose weights the model has now.
        train_loss: The last reported loss, in nats.
        seconds: In the loop, in this attempt.
        stopped: It was asked to stop, and its state is kept; the model is not finished.
        state: The model's whole state where its weights are shared out; else None.
    """

    steps: int
    selected_step: int
    train_loss: float
    seconds: float
    stopped: bool
    state: dict[str, Tensor] | None


def fit(
    model: nn.Module,
    head: list[nn.Parameter],
    examples: Examples,
    criterion: Criterion,
    course: Course,
    *,
    device: torch.device,
    checkpoints: Checkpoints,
    control: Control,
    report: Report,
    curves: Sequence[Curve] = (),
    selection: Selection | None = None,
) -> Outcome:
    """Trains a model in place, from its last checkpoint where there is one.

    The same arguments on the same CPU and number of threads and processes make the same
    weights, however often training was interrupted.

    Args:
        model: What is trained; its frozen parameters stay.
        head: Parameters of a fresh head.
        examples: What it is trained on.
        criterion: What is minimised.
        course: How.
        device: Where it is trained.
        checkpoints: Where its state is kept.
        control: Says when to keep it, and when to stop.
        report: Told of figures; called in the first process only.
        curves: What is scored while training.
        selection: Chooses the weights to keep; None for the last.

    Raises:
        FailedPrecondition: A loss or gradient was no number.
        ResourceExhausted: A checkpoint found no space.
    """
    best = None if selection is None else Best(selection)
    steps = course.steps(len(examples.ids))
    trainer = ObjectiveTrainer(
        model,
        head,
        examples,
        criterion,
        course,
        checkpoints,
        control,
        best,
        args=_arguments(course, steps, device, checkpoints.scratch),
    )
    seed_apart(course.seed, trainer.args.process_index)
    # Its own callback prints logs on standard output.
    trainer.remove_callback(PrinterCallback)
    flow = _Flow(trainer, course, steps, report if trainer.is_world_process_zero() else _silent, curves, best)
    trainer.add_callback(flow)
    start = time.perf_counter()
    checkpoints.sweep()
    resume = checkpoints.latest()
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return _outcome(trainer, flow, best, time.perf_counter() - start)


def _outcome(trainer: ObjectiveTrainer, flow: _Flow, best: Best | None, seconds: float) -> Outcome:
    steps = trainer.state.global_step
    # A step, and not weights: where they are shared out, the first process alone has the best ones.
    kept = best if best is not None and best.step else None
    state = None
    if not flow.stopped and trainer.is_fsdp_enabled:
        state = kept.weights if kept else trainer.trained_weights()
    elif not flow.stopped and kept:
        trainer.load_trained(kept.weights)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Outcome(
        steps, kept.step if kept else steps, losses[-1] if losses else math.nan, seconds, flow.stopped, state
    )


def _arguments(course: Course, steps: int, device: torch.device, scratch: Path) -> TrainingArguments:
    sharding: dict[str, Any] = {}
    if course.fully_sharded:
        sharding = {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}
    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=course.batch_size,
        num_train_epochs=course.epochs,
        learning_rate=course.learning_rate,
        warmup_steps=round(course.warmup_fraction * steps),
        **_schedule(course),
        seed=course.seed,
        bf16=course.bfloat16,
        use_cpu=device.type == "cpu",
        ddp_backend="gloo" if device.type == "cpu" and "WORLD_SIZE" in os.environ else None,
        ddp_find_unused_parameters=False,
        max_grad_norm=course.max_grad_norm,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        **sharding,
    )
    if course.fully_sharded and course.bfloat16:
        # Gradients are summed, and outputs given, in float32: accelerate's own policy rounds both to bfloat16.
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        arguments.fsdp_plugin_args["mixed_precision_policy"] = policy
    # Several visible GPUs in one process would make it replicate the model.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _schedule(course: Course) -> dict[str, Any]:
    if course.schedule == "linear":
        return {"lr_scheduler_type": "linear"}
    if course.schedule == "constant":
        return {"lr_scheduler_type": "constant_with_warmup"}
    kwargs = {"min_lr_rate": course.min_lr_fraction}
    return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": kwargs}


class _Flow(TrainerCallback):
    """Reports, scores, keeps and stops, after the steps where it is time."""

    def __init__(
        self,
        trainer: ObjectiveTrainer,
        course: Course,
        steps: int,
        report: Report,
        curves: Sequence[Curve],
        best: Best | None,
    ) -> None:
        self._trainer = trainer
        self._course = course
        self._every = max(1, steps // _REPORTS)
        self._evaluations = _evenly(course.evaluations, steps) if curves else set()
        self._report = report
        self._curves = curves
        self._best = best
        self.stopped = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begins to count when a checkpoint has been read."""
        self._trainer.leave_untimed()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Says which epoch's order comes next."""
        self._trainer.batches.epoch = state.global_step // len(self._trainer.batches)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """What is to be done after a step."""
        step, last = state.global_step, state.global_step >= state.max_steps
        evaluates = step in self._evaluations
        if last or evaluates or step % self._every == 0 or self._trainer.tell_due:
            self._tell(state)
        if evaluates:
            self._evaluate(state)
            self._trainer.leave_untimed()
        # The step that ends training leaves no checkpoint: going on from there, one more step would be taken.
        over = self._best is not None and self._best.waited_enough
        control.should_training_stop = control.should_training_stop or over
        control.should_save = self._trainer.save_due and not over
        if self._trainer.stop and not (last or over):
            self.stopped = control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Says that a checkpoint is there."""
        self._report("checkpoint", state.global_step, state.max_steps, {})

    def _tell(self, state: TrainerState) -> None:
        trainer = self._trainer
        figures = trainer.told()
        figures |= {"learning_rate": trainer.learning_rate, "grad_norm": float(trainer.grad_norm)}
        if trainer.args.device.type == "cuda":
            figures["gpu_memory_bytes"] = float(torch.cuda.max_memory_allocated())
        state.log_history.append({"loss": figures["loss"], "step": state.global_step})
        self._report("train", state.global_step, state.max_steps, figures)

    def _evaluate(self, state: TrainerState) -> None:
        trainer, figures = self._trainer, dict[str, float]()
        for curve in self._curves:
            found = score(
                trainer.model_wrapped, curve.examples, curve.criterion, trainer.args.device, self._course.token_budget
            )
            figures |= {told: found[name] for name, told in curve.figures.items() if name in found}
        self._report("evaluate", state.global_step, state.max_steps, figures)
        if self._best is None:
            return
        if self._best.improves(trainer.agreed(figures)):
            self._best.keep(state.global_step, trainer.trained_weights())


def _silent(stage: str, step: int, total: int, figures: dict[str, float]) -> None:
    """Only the first process reports."""


def _evenly(times: int, steps: int) -> set[int]:
    """Step numbers that spread `times` evaluations over [1, steps], the last step included."""
    return {max(1, round(index * steps / times)) for index in range(1, times + 1)}
