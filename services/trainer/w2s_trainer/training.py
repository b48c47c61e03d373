"""A run from artifacts to an artifact; executed in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import MODEL_SCHEMA
from w2s.artifacts.tables import Dataset, Labels, align, parent, read_dataset, read_labels
from w2s.errors import InvalidArgument
from w2s.jobs import Progress
from w2s.models.checkpoint import Checkpoint, build
from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.runtime import pick_device
from w2s.models.spec import Encoding
from w2s.models.tokens import tokenize
from w2s.objectives.cross_entropy import one_hot
from w2s_trainer.inputs import sources
from w2s_trainer.loop import Examples, Outcome, Send, fit
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import RunSpec


def execute(run_id: str, spec: RunSpec, settings: TrainerSettings, send: Send) -> dict[str, Any]:
    """Trains what a spec says and stores the checkpoint as `models/<run_id>`.

    The same spec on the same CPU and number of threads makes the same weights.

    Args:
        run_id: The run's id.
        spec: What to do.
        settings: Where artifacts are, and what to run on.
        send: Reports progress.

    Returns:
        The run's result as JSON: model, steps, train_loss and train_seconds.

    Raises:
        W2SError: An input is missing, damaged or does not fit.
    """
    store = ArtifactStore(settings.artifact_root, settings.cache_folder / "artifacts")
    send(Progress("load"))
    dataset = read_dataset(store, spec.dataset)
    labels = read_labels(store, spec.labels) if spec.labels else None
    held_out = read_dataset(store, spec.eval_dataset, "eval_dataset") if spec.eval_dataset else None
    weights = sources(settings, store).resolve(spec.model.base)
    torch.manual_seed(spec.training.seed)
    checkpoint = build(spec.model, weights, dataset.label_names)
    checkpoint.to(pick_device(settings.device))
    predictor = Predictor(checkpoint, _cache(settings), settings.token_budget)

    examples = _examples(checkpoint, predictor, dataset, labels, send)
    outcome = fit(checkpoint, examples, spec.objective, spec.training, send, lambda: _score(predictor, held_out))
    send(Progress("save"))
    parents = [parent("dataset", dataset), weights.parent]
    parents += [parent("labels", labels)] if labels else []
    parents += [parent("eval_dataset", held_out)] if held_out else []
    return _save(store, run_id, spec, checkpoint, parents, outcome)


def _cache(settings: TrainerSettings) -> FeatureCache:
    return FeatureCache(Path(settings.cache_folder) / "features")


def _examples(
    checkpoint: Checkpoint, predictor: Predictor, dataset: Dataset, labels: Labels | None, send: Send
) -> Examples:
    config = checkpoint.model.config
    if config.encoding == Encoding.PAIR and dataset.pairs is None:
        raise InvalidArgument("model.encoding", "PAIR needs a dataset with two texts an example")
    truth = one_hot(torch.from_numpy(dataset.labels.astype(np.int64)), len(dataset.label_names))
    targets = truth if labels is None else torch.from_numpy(align(labels, dataset))
    if config.body_frozen:
        features = predictor.features(
            dataset.texts, dataset.pairs, lambda done, total: send(Progress("encode", done, total))
        )
        return Examples(targets, features=features)
    first, second = tokenize(checkpoint.tokenizer, config, dataset.texts, dataset.pairs)
    return Examples(targets, first=first, second=second)


def _score(predictor: Predictor, held_out: Dataset | None) -> dict[str, float]:
    if held_out is None:
        return {}
    logits = predictor.logits(held_out.texts, held_out.pairs)
    return {"eval_accuracy": float((logits.argmax(axis=1) == held_out.labels).mean())}


def _save(
    store: ArtifactStore,
    run_id: str,
    spec: RunSpec,
    checkpoint: Checkpoint,
    parents: list[Parent],
    outcome: Outcome,
) -> dict[str, Any]:
    config = {"run": spec.model_dump(mode="json"), "label_names": checkpoint.label_names}
    with store.write(
        "models", run_id, data_schema=MODEL_SCHEMA, config=config, seed=spec.training.seed, parents=parents
    ) as draft:
        checkpoint.save(draft.path)
    ref: ArtifactRef | None = draft.ref
    assert ref is not None
    return {
        "model": ref.model_dump(),
        "steps": outcome.steps,
        "train_loss": outcome.train_loss,
        "train_seconds": outcome.seconds,
    }
