"""Artifacts: immutable, digest-verified folders in any fsspec file system."""

from w2s.artifacts.manifest import ArtifactRef, Manifest, Parent
from w2s.artifacts.store import Artifact, ArtifactStore

__all__ = ["Artifact", "ArtifactRef", "ArtifactStore", "Manifest", "Parent"]
