"""How students learn from weak labels: what every pipeline that compares methods shares."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipelines.estimate import training_passes
from pipelines.plans import Frozen, Model, Training, among
from w2s.common.v1 import common_pb2 as pb
from w2s.trainer.v1 import trainer_pb2

NAIVE, CONFIDENCE, BOOTSTRAPPING = "naive", "confidence", "bootstrapping"

# Points of a training curve.
CURVE_POINTS = 10
Json = dict[str, Any]
_ENCODINGS = {"pair": trainer_pb2.TEXT_ENCODING_PAIR, "single": trainer_pb2.TEXT_ENCODING_SINGLE}


class Chain(Frozen):
    """What bootstrapping is set to.

    Attributes:
        bootstrapping_models: The models between supervisor and student, from small to large.
    """

    bootstrapping_models: list[Model]


class Method(Chain):
    """What the methods are set to.

    Attributes:
        bootstrapping_models: As `Chain.bootstrapping_models`.
        confidence_alpha: Weight of the student's own predictions in the confidence loss.
    """

    confidence_alpha: float = Field(ge=0, le=1)


def possible(values: list[str], known: tuple[str, ...], method: Chain | None) -> list[str]:
    """The methods of a plan, each once.

    Args:
        values: Their names.
        known: The names there are.
        method: What they are set to; None where that is wrong itself.

    Raises:
        ValueError: One is unknown or lacks a setting, or is there twice.
    """
    if BOOTSTRAPPING in values and method and not method.bootstrapping_models:
        raise ValueError("bootstrapping needs a model in method_bootstrapping_models")
    return among(values, known)


def model_spec(model: Model, train: Training) -> trainer_pb2.ModelSpec:
    """A classifier to be trained from a model."""
    return trainer_pb2.ModelSpec(
        base=pb.ModelRef(uri=model.uri, revision=model.revision),
        layers=None if model.layers < 0 else model.layers,
        train_from_layer=model.train_from_layer,
        encoding=_ENCODINGS[train.encoding],
        max_length=train.max_length,
    )


def training_config(model: Model, train: Training, seed: int) -> trainer_pb2.TrainingConfig:
    """How a model is trained, with a curve."""
    return trainer_pb2.TrainingConfig(
        epochs=train.epochs,
        batch_size=train.batch_size,
        learning_rate=model.learning_rate or train.learning_rate,
        head_learning_rate=train.head_learning_rate,
        seed=seed,
        evaluations=CURVE_POINTS,
    )


def truth_run(model: Model, train: Training, seed: int, dataset: Json, validation: Json) -> trainer_pb2.RunSpec:
    """The training of a classifier on a dataset's ground truth, with a curve on the validation split."""
    spec = trainer_pb2.RunSpec(
        model=model_spec(model, train),
        dataset=pb.DatasetRef(**dataset),
        eval_dataset=pb.DatasetRef(**validation),
        training=training_config(model, train, seed),
    )
    if train.early_stopping != "none":
        spec.early_stopping.SetInParent()
    return spec


def student_run(truth: trainer_pb2.RunSpec, train: Training, labels: Json) -> trainer_pb2.RunSpec:
    """The same training on labels in place of ground truth; `learn_by` sets the method."""
    spec = trainer_pb2.RunSpec()
    spec.CopyFrom(truth)
    spec.labels.CopyFrom(pb.LabelsRef(**labels))
    if train.early_stopping == "oracle":
        spec.early_stopping.oracle = True
    return spec


def learn_by(name: str, spec: trainer_pb2.RunSpec, method: Method, train: Training, seed: int) -> None:
    """Sets what a method needs of a student's training; the naive one needs nothing."""
    if name == CONFIDENCE:
        spec.objective.auxiliary_confidence.alpha_max = method.confidence_alpha
    elif name == BOOTSTRAPPING:
        spec.hops.extend(
            trainer_pb2.Hop(model=model_spec(model, train), training=training_config(model, train, seed))
            for model in method.bootstrapping_models
        )


def passes_by(name: str, strong: Model, method: Method, epochs: int) -> int:
    """Forward passes a row that a student's training costs, those of other models on the way counted alike."""
    own = training_passes(strong, epochs)
    if name == BOOTSTRAPPING:
        # Each is trained, and labels what the next is trained on.
        return own + sum(training_passes(hop, epochs) + 1 for hop in method.bootstrapping_models)
    return own
