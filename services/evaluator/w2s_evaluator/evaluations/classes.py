"""Who says which class an example has: a classifier, a teacher, or labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import Artifact, ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.tables import Dataset, PairDataset, align, read_labels
from w2s.errors import InvalidArgument
from w2s.models.checkpoint import load
from w2s.models.predict import Predictor, Tick
from w2s.models.spec import Encoding
from w2s_evaluator.evaluations.datasets import FIELD
from w2s_evaluator.evaluations.predicting import Judge
from w2s_evaluator.evaluations.room import Room
from w2s_evaluator.evaluations.teachers import Teachers


def classifier(artifact: Artifact, dataset: Dataset, room: Room) -> Judge:
    """A classifier that the trainer made.

    Raises:
        InvalidArgument: It cannot be loaded, or does not fit the dataset.
    """
    checkpoint = load(artifact.path, "evaluation.spec.model")
    if checkpoint.label_names != dataset.label_names:
        raise InvalidArgument(
            "evaluation.spec.model.uri", f"has classes {checkpoint.label_names}, the dataset {dataset.label_names}"
        )
    if checkpoint.model.config.encoding == Encoding.PAIR and dataset.pairs is None:
        raise InvalidArgument(FIELD, "has single texts, and the model judges pairs")
    predictor = Predictor(checkpoint.to(room.device), room.cache, room.token_budget)

    def judge(rows: range, tick: Tick) -> NDArray[np.floating]:
        part = slice(rows.start, rows.stop)
        pairs = None if dataset.pairs is None else dataset.pairs[part]
        return predictor.logits(dataset.texts[part], pairs, tick)

    return judge


def teacher(teachers: Teachers, source: Parent, dataset: Dataset) -> Judge:
    """A registered teacher that labels."""

    def judge(rows: range, tick: Tick) -> NDArray[np.floating]:
        pairs = dataset.pairs or [""] * len(dataset)
        examples = [(dataset.ids[row], dataset.texts[row], pairs[row]) for row in rows]
        return log(teachers.probabilities(source, examples, tick))

    return judge


def labels(store: ArtifactStore, source: Parent, dataset: Dataset | PairDataset) -> Judge:
    """Labels of the dataset.

    Raises:
        InvalidArgument: An example has none.
    """
    field = "evaluation.spec.labels"
    found = log(align(read_labels(store, ArtifactRef(uri=source.uri, digest=source.digest), field), dataset, field))
    return lambda rows, tick: found[rows.start : rows.stop]


def log(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """Natural logarithms, finite also of 0."""
    return np.asarray(np.log(np.clip(probabilities, np.finfo(np.float32).tiny, None)))
