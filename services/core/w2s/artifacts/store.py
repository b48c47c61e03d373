"""The artifact store: writes folders atomically, verifies them on every read."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from pydantic import ValidationError

from w2s.artifacts import durable, uris
from w2s.artifacts.copies import fetch
from w2s.artifacts.manifest import ArtifactRef, Kind, Manifest, Parent, content_digest, hash_folder
from w2s.artifacts.workspace import Workspace
from w2s.errors import DataLoss, FailedPrecondition, NotFound

_MANIFEST = "manifest.json"
# Nobody fills a draft for so long without adding a file to it.
_ABANDONED_S = 24 * 3600


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read and verified.

    Attributes:
        ref: Its address and digest.
        manifest: What it says of itself.
        path: A local folder with its files. Read-only by contract.
    """

    ref: ArtifactRef
    manifest: Manifest
    path: Path


@dataclass
class Draft:
    """An artifact being written.

    Attributes:
        path: The local folder to put files into.
        ref: Set once the draft is committed.
    """

    path: Path
    ref: ArtifactRef | None = None


class ArtifactStore:
    """Artifacts below one root, as `<root>/<kind>/<key>/`.

    What is under way is below `<root>/<kind>/` too, under names that no address can have: to write
    one kind, its folder is all that a process must be able to write.

    Args:
        root: A folder, or any fsspec URI such as `s3://bucket/prefix`.
        cache: A local folder for copies of remote artifacts; a temporary one when None.
    """

    def __init__(self, root: str, cache: Path | None = None) -> None:
        self.root = uris.normalize_root(root)
        self._fs, self._base = fsspec.core.url_to_fs(self.root)
        self._local = self.root.startswith("file://")
        self._cache = cache

    def uri(self, kind: Kind, key: str) -> str:
        """The address of an artifact, whether or not it exists."""
        return f"{self.root}/{kind}/{uris.check_key(key, 'key')}"

    def find(self, kind: Kind, key: str) -> ArtifactRef | None:
        """The reference of an artifact that exists, else None."""
        uri = self.uri(kind, key)
        try:
            return ArtifactRef(uri=uri, digest=self.manifest(uri).digest)
        except NotFound:
            return None

    def workspace(self, kind: Kind, key: str) -> Workspace:
        """Where the job that will write an artifact keeps what it has done so far."""
        base = f"{self._base}/{kind}/.work/{uris.check_key(key, 'key')}"
        return Workspace(self._fs, base, None if self._local else self._copies())

    def manifest(self, uri: str, digest: str = "", field: str = "uri") -> Manifest:
        """Reads an artifact's manifest, without reading its files.

        Args:
            uri: Its address.
            digest: The digest it must have; empty for any.
            field: The request field to name when the address is wrong.

        Raises:
            InvalidArgument: The address is not one below the root.
            NotFound: There is no complete artifact.
            FailedPrecondition: It has another digest.
            DataLoss: The manifest cannot be read.
        """
        below = uris.confine(uri, self.root, field)
        try:
            manifest = Manifest.model_validate_json(self._fs.cat_file(f"{self._base}/{below}/{_MANIFEST}"))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"there is no artifact at {uri}") from None
        except ValidationError as error:
            raise DataLoss(f"the manifest of {uri} is damaged: {error.error_count()} fields") from error
        if digest and manifest.digest != digest:
            raise FailedPrecondition(f"{uri} has digest {manifest.digest}, and {digest} was asked for")
        return manifest

    def read(self, uri: str, digest: str = "", field: str = "uri") -> Artifact:
        """Fetches an artifact and verifies every file against the manifest.

        Raises:
            DataLoss: A file is missing, added or changed.
            InvalidArgument, NotFound, FailedPrecondition: As `manifest`.
        """
        manifest = self.manifest(uri, digest, field)
        below = uris.confine(uri, self.root, field)
        folder = Path(self._base) / below if self._local else self._download(below, manifest)
        if not _holds(folder, manifest):
            if not self._local:
                shutil.rmtree(folder)
            # It may have been deleted while it was read.
            self.manifest(uri, manifest.digest, field)
            raise DataLoss(f"the files of {uri} do not match its manifest")
        return Artifact(ArtifactRef(uri=uri, digest=manifest.digest), manifest, folder)

    @contextlib.contextmanager
    def write(
        self,
        kind: Kind,
        key: str,
        *,
        data_schema: str,
        config: dict[str, Any],
        seed: int | None = None,
        parents: Sequence[Parent] = (),
    ) -> Iterator[Draft]:
        """Writes an artifact: fill `draft.path`, and it is committed when the block ends.

        Readers see all of it or nothing, and it survives a crash of the machine once it is
        committed to a local folder. A block that raises leaves nothing. If the artifact
        exists already, the one that exists stays and `draft.ref` names it.
        """
        uri = self.uri(kind, key)
        staging = self._staging(kind) if self._local else Path(tempfile.mkdtemp())
        staging.mkdir(parents=True, exist_ok=True)
        if self._local:
            _remove_abandoned(staging.parent)
        draft = Draft(staging)
        try:
            yield draft
            files = hash_folder(staging)
            manifest = Manifest(
                kind=kind,
                key=key,
                digest=content_digest(files),
                files=files,
                data_schema=data_schema,
                config=config,
                seed=seed,
                parents=list(parents),
            )
            (staging / _MANIFEST).write_text(manifest.model_dump_json(indent=1))
            self._commit(staging, uri.removeprefix(self.root + "/"))
            draft.ref = self.find(kind, key)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def delete(self, kind: Kind, key: str) -> None:
        """Deletes an artifact: readers see all of it or nothing.

        Raises:
            InvalidArgument: The key is none.
            NotFound: There is no complete artifact.
        """
        uri = self.uri(kind, key)
        target = f"{self._base}/{uris.confine(uri, self.root, 'key')}"
        there = self._fs.exists(f"{target}/{_MANIFEST}")
        if there and self._local:
            aside = self._staging(kind)
            durable.make_folder(aside.parent)
            there = durable.discard(Path(target), aside)
        elif there:
            for path in (f"{target}/{_MANIFEST}", target):
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm(path, recursive=True)
        if not there:
            raise NotFound(f"there is no artifact at {uri}")

    def _staging(self, kind: Kind) -> Path:
        # In the kind's own folder, which may be all that its writer may write.
        return Path(self._base, kind, ".staging", uuid.uuid4().hex)

    def _commit(self, staging: Path, below: str) -> None:
        target = f"{self._base}/{below}"
        if self._local:
            durable.sync_tree(staging)
            durable.make_folder(Path(target).parent)
            try:
                durable.move(staging, Path(target))
            except OSError:
                # A folder that is there already cannot be replaced: the first commit stands.
                if not Path(target, _MANIFEST).exists():
                    raise
            return
        if self._fs.exists(f"{target}/{_MANIFEST}"):
            return
        for path in sorted(p for p in staging.rglob("*") if p.is_file() and p.name != _MANIFEST):
            self._fs.put_file(str(path), f"{target}/{path.relative_to(staging).as_posix()}")
        self._fs.pipe_file(f"{target}/{_MANIFEST}", (staging / _MANIFEST).read_bytes())

    def _copies(self) -> Path:
        if self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="w2s-artifacts-"))
        return self._cache

    def _download(self, below: str, manifest: Manifest) -> Path:
        folder = self._copies() / manifest.digest.removeprefix("sha256:")
        if not folder.exists():
            fetch(self._fs, f"{self._base}/{below}", manifest.files, folder)
        return folder


def _remove_abandoned(parent: Path) -> None:
    """Removes what processes that were killed had begun to write."""
    oldest = time.time() - _ABANDONED_S
    for path in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)


def _holds(folder: Path, manifest: Manifest) -> bool:
    # What a link leads to is none of its files, and may be another by the time that it is read.
    if any(path.is_symlink() for path in folder.rglob("*")):
        return False
    try:
        found = {name: file for name, file in hash_folder(folder).items() if name != _MANIFEST}
    except FileNotFoundError:
        return False
    return found == manifest.files and content_digest(found) == manifest.digest
