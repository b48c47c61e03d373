"""Refuses an evaluation that cannot end well, before there is a job of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from w2s.artifacts import ArtifactRef, ArtifactStore, Manifest, Parent
from w2s.artifacts.schemas import (
    CLASSIFIER_SCHEMA,
    COMPLETIONS_SCHEMA,
    EXAMPLES_SCHEMA,
    LABELS_SCHEMA,
    LANGUAGE_MODEL_SCHEMA,
    PAIRS_SCHEMA,
    REWARD_SCHEMA,
    expect_schema,
)
from w2s.artifacts.tables import Dataset, PairDataset, align, read_labels
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.supervisor.v1 import supervisor_pb2 as supervisor
from w2s_evaluator.evaluations.datasets import FIELD, KINDS, check_rows
from w2s_evaluator.evaluations.spec import EvaluationSpec, TeacherSource
from w2s_evaluator.evaluations.teachers import Teachers

_SPEC = "evaluation.spec"
_MODELS = {
    EXAMPLES_SCHEMA: (CLASSIFIER_SCHEMA,),
    PAIRS_SCHEMA: (REWARD_SCHEMA, LANGUAGE_MODEL_SCHEMA),
    COMPLETIONS_SCHEMA: (LANGUAGE_MODEL_SCHEMA,),
}
_ABILITIES = {
    EXAMPLES_SCHEMA: (supervisor.ABILITY_LABEL, "label examples"),
    PAIRS_SCHEMA: (supervisor.ABILITY_COMPARE, "compare pairs"),
    COMPLETIONS_SCHEMA: (supervisor.ABILITY_GENERATE, "generate answers"),
}


@dataclass(frozen=True)
class Pinned:
    """The bytes that an evaluation is of, however long it waits.

    Attributes:
        dataset: The dataset; None for benchmarks.
        source: Where the predictions come from.
    """

    dataset: Parent | None
    source: Parent

    @property
    def parents(self) -> list[Parent]:
        """What the predictions are made from."""
        return [self.source] if self.dataset is None else [self.dataset, self.source]

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {role: part and part.model_dump() for role, part in vars(self).items()}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Pinned:
        """From JSON."""
        return cls(**{role: part and Parent.model_validate(part) for role, part in stored.items()})


class Admission:
    """Admits evaluations.

    Args:
        store: Where artifacts are.
        teachers: The supervisor's teachers.
    """

    def __init__(self, store: ArtifactStore, teachers: Teachers) -> None:
        self._store = store
        self._teachers = teachers

    def admit(self, spec: EvaluationSpec) -> Pinned:
        """Checks a spec against what it names, and pins that.

        Raises:
            InvalidArgument: Something does not fit; its field is named.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`, and of a teacher.
            Unavailable: The supervisor does not answer for a teacher.
        """
        if spec.benchmarks is not None:
            return Pinned(None, self._benchmarked(spec))
        if spec.dataset is None:
            raise InvalidArgument(FIELD, "is required, unless benchmarks is set")
        dataset = expect_schema(self._store, spec.dataset, tuple(KINDS), FIELD)
        _check_parts(spec, dataset.data_schema)
        source = self._source(spec, dataset)
        check_rows(self._store, spec.dataset, spec.generation.samples if spec.generation else 1)
        if spec.labels is not None:
            self._check_labels(spec.labels, spec.dataset, dataset)
        return Pinned(Parent(role="dataset", uri=spec.dataset.uri, digest=dataset.digest), source)

    def _benchmarked(self, spec: EvaluationSpec) -> Parent:
        for field in ("dataset", "generation", "margin", "teacher", "labels"):
            if getattr(spec, field) is not None:
                raise InvalidArgument(f"{_SPEC}.{field}", "does not go with benchmarks, which need a model alone")
        assert spec.model is not None
        return self._model(spec.model, (LANGUAGE_MODEL_SCHEMA,))[0]

    def _source(self, spec: EvaluationSpec, dataset: Manifest) -> Parent:
        names = dataset.config.get("label_names") if dataset.data_schema == EXAMPLES_SCHEMA else None
        if spec.teacher is not None:
            return self._teacher(spec.teacher, dataset.data_schema, names)
        if spec.labels is not None:
            manifest = expect_schema(self._store, spec.labels, LABELS_SCHEMA, f"{_SPEC}.labels")
            return Parent(role="labels", uri=spec.labels.uri, digest=manifest.digest)
        assert spec.model is not None
        parent, model = self._model(spec.model, _MODELS[dataset.data_schema])
        if names is not None and (own := model.config.get("label_names")) != names:
            raise InvalidArgument(f"{_SPEC}.model.uri", f"has classes {own}, the dataset {names}")
        if model.data_schema == REWARD_SCHEMA and spec.margin is not None and spec.margin.length_normalized:
            raise InvalidArgument(f"{_SPEC}.margin.length_normalized", "is for language models; this is a reward model")
        return parent

    def _model(self, ref: ArtifactRef, schemas: tuple[str, ...]) -> tuple[Parent, Manifest]:
        manifest = self._store.manifest(ref.uri, ref.digest, f"{_SPEC}.model.uri")
        if schemas == (CLASSIFIER_SCHEMA,) and manifest.data_schema == LANGUAGE_MODEL_SCHEMA:
            raise InvalidArgument(
                f"{_SPEC}.model.uri",
                "is a language model, which classifies by a prompt: register it as a teacher with one, and name that",
            )
        manifest = expect_schema(self._store, ref, schemas, f"{_SPEC}.model")
        return Parent(role="model", uri=ref.uri, digest=manifest.digest), manifest

    def _teacher(self, source: TeacherSource, schema: str, names: list[str] | None) -> Parent:
        teacher = self._teachers.get(source.teacher)
        version = teacher.version
        if source.required_digest not in ("", version.digest):
            raise FailedPrecondition(
                f"{source.teacher} has digest {version.digest}, and {source.required_digest} was asked for"
            )
        ability, deed = _ABILITIES[schema]
        field = f"{_SPEC}.teacher.teacher"
        if ability not in teacher.abilities:
            raise InvalidArgument(
                field, f"names a teacher that cannot {deed}, as this dataset needs; name one that can"
            )
        if names is not None and names != list(teacher.label_names):
            raise InvalidArgument(
                field, f"names a teacher of classes {list(teacher.label_names)}, the dataset has {names}"
            )
        return Parent(role="teacher", uri=source.teacher, digest=version.digest, revision=version.revision)

    def _check_labels(self, ref: ArtifactRef, dataset_ref: ArtifactRef, manifest: Manifest) -> None:
        field = f"{_SPEC}.labels"
        labels = read_labels(self._store, ref, field)
        dataset = KINDS[manifest.data_schema].read(self._store, dataset_ref, FIELD)
        assert isinstance(dataset, Dataset | PairDataset)
        if len(labels.teachers) > 1:
            raise InvalidArgument(field, f"are of {len(labels.teachers)} teachers; evaluate those of one at a time")
        if len(set(labels.ids)) < len(labels.ids):
            raise InvalidArgument(field, "has several labels of one example")
        align(labels, dataset, field)


def _check_parts(spec: EvaluationSpec, schema: str) -> None:
    """Refuses parts of a spec that the kind of the dataset has no use for."""
    if schema == COMPLETIONS_SCHEMA:
        if spec.labels is not None:
            raise InvalidArgument(f"{_SPEC}.labels", "are of examples or pairs; prompts need a model or a teacher")
        if spec.generation is None:
            raise InvalidArgument(f"{_SPEC}.generation", "is required: the dataset holds prompts, which are answered")
        if spec.generation.chat_template and spec.teacher is not None:
            raise InvalidArgument(
                f"{_SPEC}.generation.chat_template", "is for models; a teacher asks as it was registered to"
            )
    elif spec.generation is not None:
        raise InvalidArgument(
            f"{_SPEC}.generation", f"is for a dataset of prompts ({COMPLETIONS_SCHEMA}); leave it out"
        )
    if spec.margin is not None and schema != PAIRS_SCHEMA:
        raise InvalidArgument(f"{_SPEC}.margin", f"is for a dataset of pairs ({PAIRS_SCHEMA}); leave it out")
    if spec.margin is not None and spec.labels is not None:
        raise InvalidArgument(f"{_SPEC}.margin", "is for models and teachers; labels are probabilities already")
