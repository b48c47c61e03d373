"""Reads a table's artifact, once it is known to hold that table."""

from __future__ import annotations

from w2s.artifacts.manifest import ArtifactRef
from w2s.artifacts.schemas import check_schema
from w2s.artifacts.store import Artifact, ArtifactStore


def read_verified(store: ArtifactStore, ref: ArtifactRef, schema: str, field: str) -> Artifact:
    """Fetches and verifies an artifact of a schema.

    Raises:
        InvalidArgument: The artifact holds something else; `<field>.uri` is named.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    artifact = store.read(ref.uri, ref.digest, f"{field}.uri")
    check_schema(artifact.manifest, schema, field)
    return artifact
