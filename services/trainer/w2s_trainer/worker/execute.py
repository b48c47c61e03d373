"""A run from artifacts to artifacts, one stage after another."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from w2s.artifacts import ArtifactRef, Parent
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import Dataset
from w2s.errors import AlreadyExists, DataLoss
from w2s.jobs import Progress
from w2s.models.sources import Weights
from w2s.models.spec import ModelSpec
from w2s_trainer.files import model_of
from w2s_trainer.spec import GenerativeFirst, Hop, LanguageModeling, Objective, RunSpec
from w2s_trainer.spec.commits import at_commit
from w2s_trainer.stages.chain import label
from w2s_trainer.stages.desk import Desk
from w2s_trainer.stages.stage import Stage, Trained, train
from w2s_trainer.stages.supervised import Supervised, read
from w2s_trainer.worker.context import RunContext

_LANGUAGE_MODELING = Objective(language_modeling=LanguageModeling())


def execute(context: RunContext) -> dict[str, Any]:
    """Trains what a run's spec says and stores the model as `models/<run>`.

    The same spec on the same CPU, with as many threads and processes, makes the same weights,
    however often it was interrupted. What an earlier attempt has finished is not done again.

    Args:
        context: The run, in this process.

    Returns:
        The run's result as JSON, by the names of the proto's RunResult.

    Raises:
        Stopped: It was asked to stop, and a checkpoint is written.
        W2SError: An input is missing, damaged or does not fit, a loss is no number, or
            there is no space left.
    """
    desk = Desk(context)
    if desk.first:
        # Whoever has the run writes here alone.
        desk.workspace.sweep()
    return _Run(desk, context.spec).student()


@dataclass(frozen=True)
class _Run:
    desk: Desk
    spec: RunSpec

    def student(self) -> dict[str, Any]:
        """Trains all stages and stores the last one's model."""
        hops = [self._hop(index, hop) for index, hop in enumerate(self.spec.hops)]
        weights = self._weights(self.spec.model)
        stage = self._last(self._labels(len(self.spec.hops)), weights)
        trained = train(stage, self.desk)
        parents = [*stage.data.parents, weights.parent]
        parents += [parent for data in stage.mixed for parent in data.parents]
        parents += stage.evaluation.parents if stage.evaluation else []
        model = self._store("", stage, trained, parents)
        return self._result(stage, trained, model, hops)

    def _last(self, labels: ArtifactRef | None, weights: Weights) -> Stage:
        """The run's own training, which all its settings are of."""
        spec, store = self.spec, self.desk.store
        data = read(store, spec.dataset, labels, skip_unlabeled=spec.skip_unlabeled)
        data = data.filtered_by(spec.filter) if spec.filter else data
        held_out = None
        if spec.early_stopping:
            data, held_out = data.split(spec.early_stopping.holdout_fraction, spec.training.seed)
        return Stage(
            name="main",
            progress="train",
            model=spec.model,
            weights=self._generative(weights),
            objective=spec.objective,
            training=spec.training,
            data=data,
            mixed=[read(store, ref, field="mixed_datasets") for ref in spec.mixed_datasets],
            held_out=held_out,
            stopping=spec.early_stopping,
            evaluation=read(store, spec.eval_dataset, field="eval_dataset") if spec.eval_dataset else None,
        )

    def _hop(self, index: int, hop: Hop) -> ArtifactRef:
        """A model of the chain as it is stored, once it has labelled what the next is trained on."""
        model = model_of(self.desk.store, self._key(f"hop-{index}"), self.spec)
        if model is not None and self._has_labelled(index, model):
            return model
        dataset = hop.dataset or self.spec.dataset
        stage = Stage(
            name=f"hop-{index}",
            progress="hop",
            model=hop.model,
            weights=self._weights(hop.model),
            objective=hop.objective or self.spec.objective,
            training=(hop.training or self.spec.training).model_copy(update={"evaluations": 0}),
            data=read(self.desk.store, dataset, self._labels(index), skip_unlabeled=self.spec.skip_unlabeled),
        )
        if model is None:
            parents = [*stage.data.parents, stage.weights.parent]
            model = self._store(f"hop-{index}", stage, train(stage, self.desk), parents)
        label(stage, read(self.desk.store, self._next(index)), self.desk, index, model)
        self.desk.wait_for_all()
        # What was there before stays, whoever made it.
        if not self._has_labelled(index, model):
            raise self._gone(index)
        return model

    def _has_labelled(self, index: int, model: ArtifactRef) -> bool:
        """Whether a hop's model has labelled what comes next; another run of this id may have left labels, too."""
        labels = self._hop_labels(index)
        if labels is None:
            return False
        made_by = [parent.digest for parent in self.desk.store.manifest(labels.uri).parents if parent.role == "model"]
        if made_by != [model.digest]:
            raise AlreadyExists(f"{labels.uri} was made by another model; delete it, or use another request_id")
        return True

    def _next(self, index: int) -> ArtifactRef:
        """What the model after a hop is trained on."""
        later = self.spec.hops[index + 1 :]
        return (later[0].dataset if later else None) or self.spec.dataset

    def _labels(self, hops: int) -> ArtifactRef | None:
        """The labels that come after so many hops: the run's own after none."""
        if hops == 0:
            return self.spec.labels
        labels = self._hop_labels(hops - 1)
        if labels is None:
            # No labels would mean ground truth.
            raise self._gone(hops - 1)
        return labels

    def _gone(self, index: int) -> DataLoss:
        return DataLoss(f"the labels of hop {index} of runs/{self.desk.run_id} are gone")

    def _hop_labels(self, index: int) -> ArtifactRef | None:
        return self.desk.store.find("labels", self._key(f"hop-{index}"))

    def _generative(self, weights: Weights) -> Weights:
        """The base after generative fine-tuning, where there is any."""
        first = self.spec.generative_first
        if first is None:
            return weights
        training = (first.training or self.spec.training).model_copy(update={"evaluations": 0})
        model = _as_language_model(self.spec.model)
        stage = Stage("generative", "generative", model, weights, _LANGUAGE_MODELING, training, self._text(first))
        name = f"generative-{stage.origin(sharded=False)[:12]}"
        folder = self.desk.workspace.folder(name)
        if folder is None:
            folder = self._keep_generative(train(stage, self.desk), name)
        return replace(weights, location=str(folder), revision=None, gguf_file=None, schema=None)

    def _text(self, first: GenerativeFirst) -> Supervised:
        """What generative fine-tuning reads; of the run's own completions those that it is to learn."""
        store, spec = self.desk.store, self.spec
        if first.dataset is not None:
            return read(store, first.dataset, field="generative_first.dataset")
        completions = store.manifest(spec.dataset.uri, spec.dataset.digest).data_schema == COMPLETIONS_SCHEMA
        return read(store, spec.dataset, spec.labels if completions else None, skip_unlabeled=spec.skip_unlabeled)

    def _keep_generative(self, trained: Trained, name: str) -> Path:
        """Keeps a language model that the run goes on with, and is no result."""
        if self.desk.first:
            with tempfile.TemporaryDirectory(dir=self.desk.cache) as scratch:
                trained.trainable.save(Path(scratch, "model"), trained.outcome.state)
                self.desk.workspace.publish(name, Path(scratch, "model"))
        self.desk.wait_for_all()
        folder = self.desk.workspace.folder(name)
        if folder is None:
            raise DataLoss(f"what generative fine-tuning of runs/{self.desk.run_id} made is gone or damaged")
        return folder

    def _weights(self, model: ModelSpec) -> Weights:
        return self.desk.sources.resolve(at_commit(model.base, self.desk.commits))

    def _key(self, suffix: str) -> str:
        return f"{self.desk.run_id}-{suffix}" if suffix else self.desk.run_id

    def _store(self, suffix: str, stage: Stage, trained: Trained, parents: list[Parent]) -> ArtifactRef:
        self.desk.send(Progress("save"))
        config = {
            "run": self.spec.model_dump(mode="json"),
            "used_ground_truth": self.spec.uses_ground_truth,
            "selected_step": trained.outcome.selected_step,
        }
        if isinstance(stage.data.table, Dataset):
            config["label_names"] = stage.data.table.label_names
        if self.desk.first:
            with self.desk.store.write(
                "models",
                self._key(suffix),
                data_schema=trained.trainable.schema,
                config=config,
                seed=stage.training.seed,
                parents=parents,
            ) as draft:
                trained.trainable.save(draft.path, trained.outcome.state)
        self.desk.wait_for_all()
        # What was there before stays, whoever made it.
        model = model_of(self.desk.store, self._key(suffix), self.spec)
        assert model is not None
        return model

    def _result(self, stage: Stage, trained: Trained, model: ArtifactRef, hops: list[ArtifactRef]) -> dict[str, Any]:
        outcome = trained.outcome
        return {
            "model": model.model_dump(),
            "steps": outcome.steps,
            "train_loss": outcome.train_loss,
            "train_seconds": outcome.seconds,
            "examples": trained.examples,
            "unlabeled_examples": stage.data.unlabeled,
            "filtered_examples": stage.data.filtered,
            "truncated_examples": trained.truncated,
            "selected_step": outcome.selected_step,
            "used_ground_truth": self.spec.uses_ground_truth,
            "hop_models": [hop.model_dump() for hop in hops],
        }


def _as_language_model(model: ModelSpec) -> ModelSpec:
    """What of a model's settings language modelling has a use for."""
    return ModelSpec(base=model.base, layers=model.layers, max_length=model.max_length, lora=model.lora)
