"""One training of a run: a model, what it learns from, and what comes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from w2s.artifacts.tables import Dataset
from w2s.errors import InvalidArgument
from w2s.jobs import Progress
from w2s.models.classifier import Classifier
from w2s.models.scorer import CompletionScorer
from w2s.models.sources import Weights
from w2s.models.spec import ModelSpec
from w2s.models.trainable import (
    Trainable,
    build_classifier,
    build_language_model,
    build_reward_model,
    state_digest,
)
from w2s.objectives import median_radius
from w2s_trainer.criteria import criterion
from w2s_trainer.data import concat
from w2s_trainer.loop.contract import Criterion
from w2s_trainer.loop.course import Curve, Selection
from w2s_trainer.loop.fit import Outcome, fit
from w2s_trainer.loop.memory import needs_checkpointing
from w2s_trainer.spec import (
    ConfidenceWindow,
    Dpo,
    EarlyStopping,
    Kind,
    LanguageModeling,
    Objective,
    Sft,
    TrainingConfig,
)
from w2s_trainer.stages.desk import Desk
from w2s_trainer.stages.encode import Encoder
from w2s_trainer.stages.reference import Reference
from w2s_trainer.stages.supervised import Supervised
from w2s_trainer.worker.context import Stopped

_HELD_OUT = {"label_accuracy": "heldout_agreement", "truth_accuracy": "heldout_accuracy", "nll": "heldout_nll"}
_EVAL = {"truth_accuracy": "eval_accuracy", "nll": "eval_nll", "reward_margin": "eval_reward_margin"}


@dataclass(frozen=True)
class Stage:
    """A training of a run.

    Attributes:
        name: Its name within the run, such as `hop-0`.
        progress: What its steps are reported as, such as `hop`.
        model: What is trained.
        weights: Where its base is.
        objective: What training minimises.
        training: How.
        data: What is trained on.
        mixed: What is mixed in.
        held_out: What is scored, and selected by; None without early stopping.
        stopping: How weights are selected.
        evaluation: What is scored for curves only.
    """

    name: str
    progress: str
    model: ModelSpec
    weights: Weights
    objective: Objective
    training: TrainingConfig
    data: Supervised
    mixed: Sequence[Supervised] = ()
    held_out: Supervised | None = None
    stopping: EarlyStopping | None = None
    evaluation: Supervised | None = None

    def origin(self, *, sharded: bool) -> str:
        """sha256 in hex over all that decides the training: what another origin left is no part of it.

        Args:
            sharded: Whether weights are shared out, as checkpoints then hold other things.
        """
        read = [data for data in (self.data, *self.mixed, self.held_out, self.evaluation) if data is not None]
        said = {
            "settings": [part.model_dump(mode="json") for part in (self.model, self.objective, self.training)],
            "stopping": self.stopping and self.stopping.model_dump(mode="json"),
            "parents": [[parent.model_dump() for parent in data.parents] for data in read],
            "examples": [data.identity for data in read],
            # The name alone: another replica may have its copies in another folder.
            "base": [Path(self.weights.location).name, self.weights.parent.model_dump()],
            "sharded": sharded,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def learnt(self) -> list[Supervised]:
        """What is trained on: of what is mixed in, nothing that is held out."""
        mixed = [data if self.held_out is None else data.apart_from(self.held_out) for data in self.mixed]
        return [self.data, *(data for data in mixed if len(data.table))]


@dataclass(frozen=True)
class Trained:
    """A model that has been trained.

    Attributes:
        trainable: The model, on its device.
        outcome: How training ended.
        examples: How many examples it was trained on.
        truncated: How many of them were cut to its length.
    """

    trainable: Trainable
    outcome: Outcome
    examples: int
    truncated: int


def train(stage: Stage, desk: Desk) -> Trained:
    """Trains what a stage says, from its last checkpoint where there is one.

    Args:
        stage: What to do.
        desk: What the run's process works with.

    Raises:
        Stopped: It was asked to stop, and its checkpoint is written.
        W2SError: An input does not fit, a loss is no number, or there is no space left.
    """
    desk.send(Progress("load"))
    torch.manual_seed(stage.training.seed)
    trainable = _build(stage)
    nn.Module.to(trainable.module, desk.device)
    encode = encoder(stage, trainable.module, trainable.tokenizer, desk, _reference(stage, trainable, desk))
    examples = concat([encode(data) for data in stage.learnt])
    loss = criterion(stage.objective, _radius(stage))
    course = desk.course(stage.training)
    if needs_checkpointing(
        trainable.module,
        examples.sequences * max(examples.lengths),
        course.token_budget,
        desk.device,
        bfloat16=course.bfloat16,
        shards=desk.world if course.fully_sharded else 1,
    ):
        trainable.module.enable_checkpointing()
    outcome = fit(
        trainable.module,
        trainable.head,
        examples,
        loss,
        course,
        device=desk.device,
        checkpoints=desk.checkpoints(f"{stage.name}-{stage.origin(sharded=course.fully_sharded)[:12]}"),
        control=desk,
        report=_reporter(stage.progress, desk.send),
        curves=_curves(stage, encode, loss),
        selection=_selection(stage),
    )
    if outcome.stopped:
        raise Stopped
    return Trained(trainable, outcome, len(examples.ids), examples.truncated)


def encoder(
    stage: Stage,
    module: Classifier | CompletionScorer,
    tokenizer: PreTrainedTokenizerBase,
    desk: Desk,
    reference: Reference | None = None,
) -> Encoder:
    """Encodes datasets for a stage's model.

    Args:
        stage: The stage.
        module: Its model, on the device: as it is built or as it is stored.
        tokenizer: The model's tokenizer.
        desk: What the run's process works with.
        reference: Gives the reference's log-probabilities; None where none are asked for.
    """
    return Encoder(
        module,
        tokenizer,
        stage.model,
        stage.objective,
        cache=desk.cache,
        budget=desk.settings.token_budget,
        bfloat16=desk.course(stage.training).bfloat16,
        reference=reference,
        tick=lambda done, total: desk.send(Progress("encode", done, total)),
    )


def _build(stage: Stage) -> Trainable:
    if stage.objective.kind is Kind.LANGUAGE_MODEL:
        return build_language_model(stage.model, stage.weights)
    if stage.objective.kind is Kind.REWARD_MODEL:
        return build_reward_model(stage.model, stage.weights)
    if not isinstance(stage.data.table, Dataset):
        raise InvalidArgument("dataset", f"objective.{stage.objective.name} learns from examples with classes")
    return build_classifier(stage.model, stage.weights, stage.data.table.label_names)


def _reference(stage: Stage, trainable: Trainable, desk: Desk) -> Reference | None:
    if not isinstance(stage.objective.loss, Dpo):
        return None
    assert isinstance(trainable.module, CompletionScorer)
    desk.send(Progress("reference"))
    return Reference(
        trainable.module,
        # Adapters are drawn anew by each seed, and say nothing yet.
        state_digest(trainable.module, without="lora_"),
        desk.cache / "reference",
        desk.device,
        desk.settings.token_budget,
        bfloat16=desk.course(stage.training).bfloat16,
    )


def _radius(stage: Stage) -> float | None:
    if not isinstance(stage.objective.loss, ConfidenceWindow) or stage.data.targets is None:
        return None
    return median_radius(stage.data.targets)


def _curves(stage: Stage, encode: Encoder, loss: Criterion) -> list[Curve]:
    scored = [(_HELD_OUT, stage.held_out), (_EVAL, stage.evaluation)]
    return [Curve(figures, encode(data), loss) for figures, data in scored if data is not None]


def _selection(stage: Stage) -> Selection | None:
    if stage.stopping is None:
        return None
    if isinstance(stage.objective.loss, Sft | LanguageModeling):
        return Selection("heldout_nll", lowest=True, patience=stage.stopping.patience)
    figure = "heldout_accuracy" if stage.stopping.oracle else "heldout_agreement"
    return Selection(figure, patience=stage.stopping.patience)


def _reporter(name: str, send: Callable[[Progress], None]) -> Callable[[str, int, int, dict[str, float]], None]:
    def report(stage: str, step: int, total: int, figures: dict[str, float]) -> None:
        send(Progress(name if stage == "train" else stage, step, total, figures))

    return report
