"""Brings together what an evaluation is of: a dataset, and who predicts on it."""

from __future__ import annotations

from collections.abc import Callable

from w2s.artifacts import Artifact, ArtifactStore, Parent
from w2s.artifacts.schemas import LANGUAGE_MODEL_SCHEMA
from w2s.artifacts.tables import CompletionDataset, Dataset, PairDataset
from w2s.models.engine import Engine
from w2s.models.loading import load_engine
from w2s.models.spec import LanguageModelReading
from w2s_evaluator.evaluations import answers, classes, pairs
from w2s_evaluator.evaluations.answers import Answering
from w2s_evaluator.evaluations.datasets import AnyDataset
from w2s_evaluator.evaluations.predicting import Judge, Predicting
from w2s_evaluator.evaluations.room import Room
from w2s_evaluator.evaluations.spec import EvaluationSpec, MarginReading
from w2s_evaluator.evaluations.teachers import Teachers
from w2s_evaluator.scorers.protocol import AnswerScorer, ScorerKind

_EXAMPLE_ROWS, _PAIR_ROWS = 2048, 512


class Sources:
    """Makes the work of evaluations.

    Args:
        store: Where artifacts are.
        teachers: The supervisor's teachers.
        room: Where models run.
        make_scorer: Makes what scores answers.
    """

    def __init__(
        self, store: ArtifactStore, teachers: Teachers, room: Room, make_scorer: Callable[[ScorerKind], AnswerScorer]
    ) -> None:
        self._store = store
        self._teachers = teachers
        self._room = room
        self._make_scorer = make_scorer

    def open(self, spec: EvaluationSpec, source: Parent, dataset: AnyDataset) -> Predicting | Answering:
        """Loads what predicts.

        Args:
            spec: What is evaluated.
            source: The same as was admitted.
            dataset: What it is evaluated on.

        Raises:
            InvalidArgument: A model cannot be loaded, or does not fit the dataset.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
        """
        stage = {"model": "predict", "teacher": "ask", "labels": "read"}[source.role]
        if isinstance(dataset, Dataset):
            return Predicting(dataset, self._classes(source, dataset), stage, _EXAMPLE_ROWS)
        if isinstance(dataset, PairDataset):
            return Predicting(dataset, self._pairs(spec.margin, source, dataset), stage, _PAIR_ROWS)
        return self._answers(spec, source, dataset)

    def _classes(self, source: Parent, dataset: Dataset) -> Judge:
        if source.role == "teacher":
            return classes.teacher(self._teachers, source, dataset)
        if source.role == "labels":
            return classes.labels(self._store, source, dataset)
        return classes.classifier(self._artifact(source), dataset, self._room)

    def _pairs(self, margin: MarginReading | None, source: Parent, dataset: PairDataset) -> Judge:
        reading = margin or MarginReading()
        if source.role == "teacher":
            return pairs.judged(pairs.teacher(self._teachers, source, dataset, reading), reading.scale)
        if source.role == "labels":
            return pairs.judged(pairs.labels(classes.labels(self._store, source, dataset)))
        artifact = self._artifact(source)
        model = self._engine(artifact, _trained_as(artifact))
        return pairs.judged(pairs.engine(model, dataset, reading, self._room.token_budget), reading.scale)

    def _answers(self, spec: EvaluationSpec, source: Parent, dataset: CompletionDataset) -> Answering:
        generation = spec.generation
        assert generation is not None
        if source.role == "teacher":
            answer = answers.teacher(self._teachers, source)
        else:
            reading = LanguageModelReading(chat_template=generation.chat_template)
            answer = answers.engine(self._engine(self._artifact(source), reading))
        return Answering(dataset, generation, [self._make_scorer(kind) for kind in generation.scorers], answer)

    def _artifact(self, source: Parent) -> Artifact:
        return self._store.read(source.uri, source.digest, "evaluation.spec.model.uri")

    def _engine(self, artifact: Artifact, reading: LanguageModelReading | None) -> Engine:
        room, field = self._room, "evaluation.spec.model"
        return load_engine(artifact.path, reading, room.device, field=field, cache=room.cache)


def _trained_as(artifact: Artifact) -> LanguageModelReading | None:
    """How a language model read its prompts while it was trained; None of a reward model, which says it itself."""
    if artifact.manifest.data_schema != LANGUAGE_MODEL_SCHEMA:
        return None
    run = artifact.manifest.config.get("run", {})
    return LanguageModelReading(chat_template=run.get("model", {}).get("chat_template", False))
