"""Where predictions come from: a model run here, a teacher asked over gRPC, or labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, check_schema
from w2s.artifacts.tables import Dataset, align, parent, read_labels
from w2s.client.labels import label_examples
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.jobs import Progress, Report
from w2s.jobs.threads import Check
from w2s.models.checkpoint import load
from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.runtime import pick_device
from w2s.models.spec import Encoding
from w2s_evaluator.evaluations.spec import TeacherSource
from w2s_evaluator.settings import EvaluatorSettings

# Logits [N, C] (log-probabilities where only those are known), and what made them.
Predicted = tuple[NDArray[np.float32], Parent]


class Sources:
    """Makes predictions on datasets.

    Args:
        store: Where artifacts are.
        settings: The evaluator's settings.
    """

    def __init__(self, store: ArtifactStore, settings: EvaluatorSettings) -> None:
        self._store = store
        self._settings = settings
        self._device = pick_device(settings.device)
        self._cache = FeatureCache(settings.cache_folder / "features")

    def from_model(self, ref: ArtifactRef, dataset: Dataset, report: Report, check: Check) -> Predicted:
        """Runs a model artifact.

        Raises:
            InvalidArgument: It is no classifier, or does not fit the dataset.
        """
        artifact = self._store.read(ref.uri, ref.digest, "evaluation.spec.model.uri")
        check_schema(artifact.manifest, CLASSIFIER_SCHEMA, "evaluation.spec.model")
        checkpoint = load(artifact.path)
        _same_classes(checkpoint.label_names, dataset, "evaluation.spec.model")
        if checkpoint.model.config.encoding == Encoding.PAIR and dataset.pairs is None:
            raise InvalidArgument("evaluation.spec.dataset", "has single texts, and the model judges pairs")
        checkpoint.to(self._device)
        predictor = Predictor(checkpoint, self._cache, self._settings.token_budget)

        def tick(done: int, total: int) -> None:
            check()
            report(Progress("predict", done, total))

        logits = predictor.logits(dataset.texts, dataset.pairs, tick)
        return logits, Parent(role="model", uri=artifact.ref.uri, digest=artifact.ref.digest)

    def from_teacher(self, source: TeacherSource, dataset: Dataset, report: Report, check: Check) -> Predicted:
        """Asks a registered teacher, pinned to the version that answers first.

        Raises:
            FailedPrecondition: No supervisor is configured, or the digest is another.
        """
        if not self._settings.supervisor_address:
            raise FailedPrecondition("set supervisor_address (W2S_SUPERVISOR_ADDRESS) to evaluate teachers")

        def tick(done: int, total: int) -> None:
            check()
            report(Progress("ask", done, total))

        probabilities, version = label_examples(
            self._settings.supervisor_address,
            list(zip(dataset.ids, dataset.texts, dataset.pairs or [""] * len(dataset), strict=True)),
            teacher=source.teacher,
            required_digest=source.required_digest,
            tick=tick,
        )
        if probabilities.shape[1] != len(dataset.label_names):
            raise InvalidArgument("evaluation.spec.teacher", f"knows {probabilities.shape[1]} classes")
        return _log(probabilities), Parent(
            role="teacher", uri=version.teacher, digest=version.digest, revision=version.revision
        )

    def from_labels(self, ref: ArtifactRef, dataset: Dataset) -> Predicted:
        """Takes labels as predictions; InvalidArgument when an example has none."""
        labels = read_labels(self._store, ref, "evaluation.spec.labels")
        return _log(align(labels, dataset, "evaluation.spec.labels")), parent("labels", labels)


def _same_classes(names: list[str], dataset: Dataset, field: str) -> None:
    if names != dataset.label_names:
        raise InvalidArgument(field, f"has classes {names}, the dataset {dataset.label_names}")


def _log(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.clip(probabilities, np.finfo(np.float32).tiny, None))
