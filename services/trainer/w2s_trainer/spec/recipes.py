"""Method settings above a single training."""

from __future__ import annotations

from pydantic import Field

from w2s.artifacts import ArtifactRef
from w2s.models.spec import ModelSpec
from w2s_trainer.spec.frozen import Frozen
from w2s_trainer.spec.objectives import Objective
from w2s_trainer.spec.training import TrainingConfig


class ConfidenceFilter(Frozen):
    """Trains on the examples whose weak label is confident.

    Attributes:
        threshold: The least confidence.
        oracle: Also drops what the ground truth says is mislabelled, which no honest run can.
    """

    threshold: float = Field(default=0.75, gt=0, le=1)
    oracle: bool = False


class EarlyStopping(Frozen):
    """Keeps the weights of the evaluation that agreed best with held-out labels.

    Attributes:
        holdout_fraction: The share of the dataset that is held out.
        patience: Evaluations in a row without a better one that end training; 0 for none.
        oracle: Selects by ground truth in place of labels, which no honest run can.
    """

    holdout_fraction: float = Field(default=0.1, gt=0, le=0.5)
    patience: int = Field(default=0, ge=0, le=1000)
    oracle: bool = False


class GenerativeFirst(Frozen):
    """Language modelling on a dataset's text before the run's objective; None is the run's own."""

    dataset: ArtifactRef | None = None
    training: TrainingConfig | None = None


class Hop(Frozen):
    """A model of a bootstrapping chain; what is None is the run's own."""

    model: ModelSpec
    dataset: ArtifactRef | None = None
    objective: Objective | None = None
    training: TrainingConfig | None = None
