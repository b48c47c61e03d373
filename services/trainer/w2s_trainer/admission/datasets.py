"""Checks of what a run is trained and scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2s.artifacts import ArtifactRef, ArtifactStore, schemas
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, PAIRS_SCHEMA
from w2s.errors import InvalidArgument
from w2s_trainer.admission.stored import Stored, find
from w2s_trainer.spec import Kind, LanguageModeling, Objective, RunSpec, Sft

ANY_TEXT = (EXAMPLES_SCHEMA, PAIRS_SCHEMA, COMPLETIONS_SCHEMA)


@dataclass(frozen=True)
class Datasets:
    """The datasets of a run.

    Attributes:
        own: What the run itself is trained on.
        stages: What each hop is trained on, and last the run itself.
        mixed: What is mixed in.
    """

    own: Stored
    stages: tuple[Stored, ...]
    mixed: tuple[Stored, ...]

    @property
    def rows(self) -> int:
        """Examples that the run itself is trained on, at most."""
        return sum(int(dataset.footer.num_rows) for dataset in (self.own, *self.mixed))


def check_datasets(store: ArtifactStore, spec: RunSpec) -> Datasets:
    """Finds a run's datasets, and checks that they fit its objective and each other.

    Raises:
        InvalidArgument: One holds something else, nothing, or other classes.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
    """
    own = _found(store, spec.dataset, _schemas(spec.objective), "run.spec.dataset", spec.objective)
    hops = [
        own if hop.dataset is None else _alike(store, hop.dataset, own, f"run.spec.hops[{index}].dataset")
        for index, hop in enumerate(spec.hops)
    ]
    mixed = [
        _alike(store, ref, own, f"run.spec.mixed_datasets[{index}]") for index, ref in enumerate(spec.mixed_datasets)
    ]
    if spec.eval_dataset is not None:
        _alike(store, spec.eval_dataset, own, "run.spec.eval_dataset")
    if spec.generative_first is not None and spec.generative_first.dataset is not None:
        _text(store, spec.generative_first.dataset, "run.spec.generative_first.dataset")
    return Datasets(own, (*hops, own), tuple(mixed))


def label_names(dataset: Stored) -> tuple[str, ...]:
    """A dataset's classes; none where it is no dataset of examples.

    Raises:
        InvalidArgument: It does not say what they are.
    """
    return tuple(schemas.label_names(dataset.manifest, dataset.field)) if dataset.schema == EXAMPLES_SCHEMA else ()


def _schemas(objective: Objective) -> tuple[str, ...]:
    """What an objective can be trained on."""
    if objective.kind is Kind.CLASSIFIER:
        return (EXAMPLES_SCHEMA,)
    if isinstance(objective.loss, LanguageModeling):
        return ANY_TEXT
    return (COMPLETIONS_SCHEMA, PAIRS_SCHEMA) if isinstance(objective.loss, Sft) else (PAIRS_SCHEMA,)


def _found(store: ArtifactStore, ref: ArtifactRef, schemas: Sequence[str], field: str, objective: Objective) -> Stored:
    dataset = find(store, ref, schemas, field, f"objective.{objective.name}")
    _not_empty(dataset)
    label_names(dataset)
    return dataset


def _alike(store: ArtifactStore, ref: ArtifactRef, own: Stored, field: str) -> Stored:
    """A dataset of the same kind and classes as the run's own."""
    dataset = find(store, ref, (own.schema,), field, "run.spec.dataset beside it")
    _not_empty(dataset)
    if (names := label_names(dataset)) != (wanted := label_names(own)):
        raise InvalidArgument(f"{field}.uri", f"has classes {', '.join(names)}, run.spec.dataset {', '.join(wanted)}")
    return dataset


def _text(store: ArtifactStore, ref: ArtifactRef, field: str) -> None:
    _not_empty(find(store, ref, ANY_TEXT, field, "language modelling"))


def _not_empty(dataset: Stored) -> None:
    if dataset.footer.num_rows == 0:
        raise InvalidArgument(f"{dataset.field}.uri", "holds no examples")
