"""A run."""

from __future__ import annotations

from pydantic import model_validator

from w2s.artifacts import ArtifactRef
from w2s.models.spec import ModelSpec
from w2s_trainer.spec.frozen import Frozen
from w2s_trainer.spec.objectives import ConfidenceWindow, CrossEntropy, Kind, LanguageModeling, Objective, Sft
from w2s_trainer.spec.recipes import ConfidenceFilter, EarlyStopping, GenerativeFirst, Hop
from w2s_trainer.spec.training import TrainingConfig


class RunSpec(Frozen):
    """A run.

    Attributes:
        model: What is trained.
        dataset: What it is trained on.
        labels: Labels in place of ground truth; None for ground truth.
        objective: What training minimises.
        training: How training goes.
        eval_dataset: Scored while training, for curves only.
        hops: Models that are trained first, each labelling what the next is trained on.
        generative_first: Language modelling before the objective.
        filter: Trains on confident labels only.
        early_stopping: Selects the weights to keep.
        mixed_datasets: Mixed in with their ground truth.
        skip_unlabeled: Leaves out examples without a label.
        allow_mixed_teachers: Accepts labels of more than one teacher.
    """

    model: ModelSpec
    dataset: ArtifactRef
    labels: ArtifactRef | None = None
    objective: Objective = Objective(cross_entropy=CrossEntropy())
    training: TrainingConfig = TrainingConfig()
    eval_dataset: ArtifactRef | None = None
    hops: tuple[Hop, ...] = ()
    generative_first: GenerativeFirst | None = None
    filter: ConfidenceFilter | None = None
    early_stopping: EarlyStopping | None = None
    mixed_datasets: tuple[ArtifactRef, ...] = ()
    skip_unlabeled: bool = False
    allow_mixed_teachers: bool = False

    @property
    def uses_ground_truth(self) -> bool:
        """Whether ground truth has a part in it beyond `labels`."""
        oracles = [step is not None and step.oracle for step in (self.filter, self.early_stopping)]
        conflicts = [self.objective, *(hop.objective for hop in self.hops if hop.objective)]
        return any(oracles) or any(objective.has_conflict for objective in conflicts) or bool(self.mixed_datasets)

    @model_validator(mode="after")
    def _evaluations_have_data(self) -> RunSpec:
        held_out = self.eval_dataset is not None or self.early_stopping is not None
        if self.training.evaluations and not held_out:
            raise ValueError("training.evaluations needs eval_dataset or early_stopping")
        if self.early_stopping is not None and not self.training.evaluations:
            raise ValueError("early_stopping needs training.evaluations")
        return self

    @model_validator(mode="after")
    def _labels_are_read(self) -> RunSpec:
        loss = self.objective.loss
        labelled = self.labels is not None or bool(self.hops)
        if isinstance(loss, LanguageModeling) and (labelled or self.filter):
            raise ValueError("objective.language_modeling reads no labels: leave out labels, hops and filter")
        if isinstance(loss, ConfidenceWindow) and loss.radius is None and not labelled:
            raise ValueError("objective.confidence_window.radius is needed without labels")
        if self.filter is not None and not labelled:
            raise ValueError("filter needs labels")
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> RunSpec:
        for index, hop in enumerate(self.hops):
            kind = (hop.objective or self.objective).kind
            if kind is not self.objective.kind:
                raise ValueError(f"hops[{index}].objective makes a {kind}, the run a {self.objective.kind}")
            loss = (hop.objective or self.objective).loss
            if isinstance(loss, Sft | LanguageModeling):
                raise ValueError(f"hops[{index}] could label nothing: train it on classes, pairs or rewards")
            if isinstance(loss, ConfidenceWindow) and loss.radius is None and index == 0 and self.labels is None:
                raise ValueError(f"hops[{index}].objective.confidence_window.radius is needed without labels")
        if self.hops and isinstance(self.objective.loss, Sft):
            raise ValueError("hops of objective.sft would generate completions; label them with a supervisor instead")
        stopping = self.early_stopping
        if stopping and stopping.oracle and isinstance(self.objective.loss, Sft | LanguageModeling):
            raise ValueError("early_stopping.oracle needs an objective of classes or preferences")
        return self

    @model_validator(mode="after")
    def _model_fits(self) -> RunSpec:
        language = self.objective.kind is Kind.LANGUAGE_MODEL
        for model in (self.model, *(hop.model for hop in self.hops)):
            if language and (model.linear_probe or model.encoding != "TEXT_ENCODING_SINGLE"):
                raise ValueError(
                    f"objective.{self.objective.name} makes a language model: no linear_probe, no encoding"
                )
            if model.chat_template and self.objective.kind is Kind.CLASSIFIER:
                raise ValueError("model.chat_template is for reward and language models")
        return self
