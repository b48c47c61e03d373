"""What an artifact's files hold, by name and version."""

from __future__ import annotations

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.store import ArtifactStore
from w2s.errors import InvalidArgument

EXAMPLES_SCHEMA = "w2s.examples/1"
LABELS_SCHEMA = "w2s.labels/2"
PREDICTIONS_SCHEMA = "w2s.predictions/1"
MODEL_SCHEMA = "w2s.classifier/1"


def check_schema(manifest: Manifest, schema: str, field: str) -> None:
    """Checks that an artifact holds what a field is for.

    Raises:
        InvalidArgument: It holds something else; `<field>.uri` is named.
    """
    if manifest.data_schema != schema:
        raise InvalidArgument(f"{field}.uri", f"holds {manifest.data_schema}, not {schema}")


def expect_schema(store: ArtifactStore, ref: ArtifactRef, schema: str, field: str) -> Manifest:
    """An artifact's manifest, once it is known to hold what a field is for.

    Raises:
        InvalidArgument: The address is wrong, or the artifact holds something else.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
    """
    manifest = store.manifest(ref.uri, ref.digest, f"{field}.uri")
    check_schema(manifest, schema, field)
    return manifest
