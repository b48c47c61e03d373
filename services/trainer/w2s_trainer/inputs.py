"""What a run reads, checked before it is queued; imports no torch."""

from __future__ import annotations

from w2s.artifacts import ArtifactStore
from w2s.artifacts.schemas import EXAMPLES_SCHEMA, LABELS_SCHEMA, expect_schema
from w2s.models.sources import ModelSources
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import RunSpec


def sources(settings: TrainerSettings, store: ArtifactStore) -> ModelSources:
    """Where this service may take weights from."""
    return ModelSources(store, settings.model_roots, allow_hub=settings.allow_hub)


def check_inputs(spec: RunSpec, sources: ModelSources) -> None:
    """Fails now what would fail in the queue: inputs that are missing or of another kind.

    Raises:
        InvalidArgument: An address is malformed, or holds something else.
        NotFound, FailedPrecondition, DataLoss: An input is missing, another, or damaged.
    """
    expect_schema(sources.store, spec.dataset, EXAMPLES_SCHEMA, "run.spec.dataset")
    if spec.labels:
        expect_schema(sources.store, spec.labels, LABELS_SCHEMA, "run.spec.labels")
    if spec.eval_dataset:
        expect_schema(sources.store, spec.eval_dataset, EXAMPLES_SCHEMA, "run.spec.eval_dataset")
    sources.resolve(spec.model.base, "run.spec.model.base")
