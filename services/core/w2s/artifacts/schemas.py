"""What an artifact's files hold, by name and version."""

from __future__ import annotations

from collections.abc import Collection

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.store import ArtifactStore
from w2s.errors import InvalidArgument

EXAMPLES_SCHEMA = "w2s.examples/1"
LABELS_SCHEMA = "w2s.labels/2"
PREDICTIONS_SCHEMA = "w2s.predictions/1"
ANSWERS_SCHEMA = "w2s.answers/1"
BENCHMARK_SCHEMA = "w2s.benchmark/1"
PAIRS_SCHEMA = "w2s.pairs/1"
COMPLETIONS_SCHEMA = "w2s.completions/1"
CLASSIFIER_SCHEMA = "w2s.classifier/1"
REWARD_SCHEMA = "w2s.reward-model/1"
LANGUAGE_MODEL_SCHEMA = "w2s.language-model/1"
MODEL_SCHEMAS = (CLASSIFIER_SCHEMA, REWARD_SCHEMA, LANGUAGE_MODEL_SCHEMA)


def check_schema(manifest: Manifest, schema: str | Collection[str], field: str) -> None:
    """Checks that an artifact holds what a field is for.

    Args:
        manifest: The artifact's.
        schema: What the field is for, or each of several.
        field: The field.

    Raises:
        InvalidArgument: It holds something else; `<field>.uri` is named.
    """
    schemas = [schema] if isinstance(schema, str) else list(schema)
    if manifest.data_schema not in schemas:
        raise InvalidArgument(f"{field}.uri", f"holds {manifest.data_schema}, not {' or '.join(schemas)}")


def expect_schema(store: ArtifactStore, ref: ArtifactRef, schema: str | Collection[str], field: str) -> Manifest:
    """An artifact's manifest, once it is known to hold what a field is for.

    Raises:
        InvalidArgument: The address is wrong, or the artifact holds something else.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
    """
    manifest = store.manifest(ref.uri, ref.digest, f"{field}.uri")
    check_schema(manifest, schema, field)
    return manifest


def label_names(manifest: Manifest, field: str) -> list[str]:
    """The classes of a dataset of examples.

    Raises:
        InvalidArgument: Its manifest names no two or more; `<field>.uri` is named.
    """
    names = manifest.config.get("label_names")
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise InvalidArgument(f"{field}.uri", "names no two label_names or more in its manifest's config")
    return names
