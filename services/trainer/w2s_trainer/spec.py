"""Everything that decides a run's result, as typed settings; mirrors the proto's RunSpec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from w2s.artifacts import ArtifactRef
from w2s.models.spec import ModelSpec


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CrossEntropy(_Frozen):
    """Cross-entropy to the labels; `harden` takes their most probable class first."""

    harden: bool = False


class AuxiliaryConfidence(_Frozen):
    """The auxiliary confidence loss (Burns et al. 2023, section 4.3.2, appendix A.4).

    Attributes:
        alpha_max: Weight of the student's own predictions once warmed up.
        warmup_fraction: Share of training over which it ramps linearly from 0.
    """

    alpha_max: float = Field(default=0.5, ge=0, le=1)
    warmup_fraction: float = Field(default=0.2, ge=0, le=1)


class Objective(_Frozen):
    """What training minimises: exactly one of the losses."""

    cross_entropy: CrossEntropy | None = None
    auxiliary_confidence: AuxiliaryConfidence | None = None

    @model_validator(mode="after")
    def _one_loss(self) -> Objective:
        if (self.cross_entropy is None) == (self.auxiliary_confidence is None):
            raise ValueError("set exactly one of cross_entropy and auxiliary_confidence")
        return self


class TrainingConfig(_Frozen):
    """How training goes.

    Attributes:
        epochs: Passes over the dataset.
        batch_size: Examples an optimiser step.
        learning_rate: AdamW's peak learning rate for body weights.
        head_learning_rate: The same for the head; `learning_rate` when None.
        weight_decay: AdamW's weight decay.
        warmup_fraction: Share of steps before the linear decay begins.
        seed: Seeds the order of examples and dropout.
        evaluations: How often `eval_dataset` is scored, evenly spread.
    """

    epochs: int = Field(default=2, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=65536)
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    head_learning_rate: float | None = Field(default=None, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    warmup_fraction: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    evaluations: int = Field(default=0, ge=0, le=1000)


class RunSpec(_Frozen):
    """A run.

    Attributes:
        model: What is trained.
        dataset: What it is trained on.
        labels: Labels in place of ground truth; None for ground truth.
        objective: What training minimises.
        training: How training goes.
        eval_dataset: Scored while training, for curves only.
    """

    model: ModelSpec
    dataset: ArtifactRef
    labels: ArtifactRef | None = None
    objective: Objective = Objective(cross_entropy=CrossEntropy())
    training: TrainingConfig = TrainingConfig()
    eval_dataset: ArtifactRef | None = None

    @model_validator(mode="after")
    def _evaluations_have_data(self) -> RunSpec:
        if self.training.evaluations and self.eval_dataset is None:
            raise ValueError("training.evaluations needs eval_dataset")
        return self
