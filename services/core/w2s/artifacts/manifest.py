"""What an artifact says of itself."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from w2s import provenance
from w2s.artifacts.uris import is_plain

Kind = Literal["datasets", "labels", "models", "predictions", "results"]


class ArtifactRef(BaseModel):
    """Points at an artifact.

    Attributes:
        uri: Its address below the artifact root.
        digest: Its content digest, `sha256:` and 64 hex digits; empty to take any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(min_length=1)
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")


class Parent(BaseModel):
    """An artifact or a pretrained model that another was made from.

    Attributes:
        role: What it was used as, such as `dataset`, `labels` or `base`.
        uri: Where it was.
        digest: Its content digest; empty for what is no artifact.
        revision: The hub revision of a pretrained model; empty for others.
    """

    role: str
    uri: str
    digest: str = ""
    revision: str = ""


class File(BaseModel):
    """One file: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


def _stay_inside(files: dict[str, File]) -> dict[str, File]:
    # A copy of a remote folder is written under these names.
    for name in files:
        if not is_plain(name):
            raise ValueError(f"{name!r} is not in plain names")
    return files


Files = Annotated[dict[str, File], AfterValidator(_stay_inside)]
"""Files by their relative path, in plain names."""


class Manifest(BaseModel):
    """The `manifest.json` of an artifact, written last: without it there is no artifact.

    Attributes:
        kind: Which of the store's folders it is in.
        key: Its name there.
        digest: sha256 over the sorted names, sizes and hashes of its files, so that equal
            content has an equal digest whatever made it.
        files: Its files by relative path, in plain names.
        data_schema: What the files hold, such as `w2s.examples/1`.
        config: The typed settings that made it.
        seed: The seed that made it, if one did.
        parents: What it was made from.
        code_version: The version of w2s that made it.
        environment: The libraries that it was made with.
        create_time: When, UTC.
    """

    kind: Kind
    key: str
    digest: str
    files: Files
    data_schema: str
    config: dict[str, Any] = {}
    seed: int | None = None
    parents: list[Parent] = []
    code_version: str = Field(default_factory=provenance.code_version)
    environment: dict[str, str] = Field(default_factory=lambda: dict(provenance.environment()))
    create_time: datetime = Field(default_factory=lambda: datetime.now(UTC))


def hash_file(path: Path) -> File:
    """Hashes a local file."""
    with path.open("rb") as stream:
        return File(sha256=hashlib.file_digest(stream, "sha256").hexdigest(), size=path.stat().st_size)


def hash_folder(folder: Path) -> dict[str, File]:
    """Hashes every file below a local folder, by relative POSIX path, sorted."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hash_file(p) for p in paths}


def content_digest(files: dict[str, File]) -> str:
    """The digest of a set of files: `sha256:` and 64 hex digits."""
    listing = [[name, file.size, file.sha256] for name, file in sorted(files.items())]
    return "sha256:" + hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()
