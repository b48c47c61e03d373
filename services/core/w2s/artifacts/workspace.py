"""Where a long job keeps what it has done so far, beside the artifacts and out of callers' reach."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from w2s.artifacts import durable
from w2s.artifacts.copies import fetch
from w2s.artifacts.manifest import Files, hash_folder

_DIGESTS = "digests.json"
_FILES = TypeAdapter(Files)


class Workspace:
    """Named blobs and folders of one job, in the store's own file system, so that any replica can go on.

    Each is there as a whole, and survives a crash of the machine, or is not there at all.

    Args:
        fs: The fsspec file system.
        base: The folder in it.
        copies: A local folder for copies of what is in it; None where the file system is this machine's.
    """

    def __init__(self, fs: Any, base: str, copies: Path | None) -> None:
        self._fs = fs
        self._base = base
        self._copies = copies

    def write(self, name: str, content: bytes) -> None:
        """Writes a blob, in place of one of that name."""
        if self._copies is not None:
            self._fs.pipe_file(f"{self._base}/{name}", content)
            return
        durable.make_folder(Path(self._base))
        part = self._hidden()
        try:
            part.write_bytes(content)
            durable.sync(part)
            part.replace(Path(self._base, name))
            durable.sync(part.parent)
        finally:
            part.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """A blob, or None when there is none."""
        try:
            content: bytes = self._fs.cat_file(f"{self._base}/{name}")
        except FileNotFoundError:
            return None
        return content

    def publish(self, name: str, folder: Path) -> None:
        """Keeps the files of a local folder under a name, in place of what has that name.

        Raises:
            OSError: There is no space left, or they cannot be written; no part of them is left.
        """
        files = {path: file for path, file in hash_folder(folder).items() if path != _DIGESTS}
        listing = _FILES.dump_json(_FILES.validate_python(files), indent=1)
        if self._copies is None:
            self._publish_here(name, folder, list(files), listing)
        else:
            self._upload(name, folder, list(files), listing)

    def folder(self, name: str) -> Path | None:
        """A local folder with what was published under a name, `digests.json` beside it. Read-only by contract.

        None when there is none, or when a file of it is missing, added or changed.
        """
        if self._copies is not None:
            return self._download(name, self._copies)
        folder = Path(self._base, name)
        return folder if _is_whole(folder) else None

    def names(self) -> list[str]:
        """The names of all blobs and folders, sorted."""
        # A listing may have been kept from before another process wrote.
        self._fs.invalidate_cache(self._base)
        try:
            paths = os.listdir(self._base) if self._copies is None else self._fs.ls(self._base, detail=False)
        except FileNotFoundError:
            return []
        names = {path.rstrip("/").rpartition("/")[2] for path in paths}
        return sorted(name for name in names if not name.startswith(".") and self._has(name))

    def remove(self, name: str) -> None:
        """Removes a blob or a folder, if there is one of that name."""
        if self._copies is None:
            durable.discard(Path(self._base, name), self._hidden())
            return
        # Without its digests a folder is not there.
        for path in (f"{self._base}/{name}/{_DIGESTS}", f"{self._base}/{name}"):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(path, recursive=True)

    def sweep(self) -> None:
        """Removes folders that a process that was killed left half done; nobody else may publish meanwhile."""
        if self._copies is None:
            for path in Path(self._base).glob(".*"):
                # Blobs are small, and may be under way.
                shutil.rmtree(path, ignore_errors=True)

    def clear(self) -> None:
        """Removes everything."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._base, recursive=True)

    def _has(self, name: str) -> bool:
        path = f"{self._base}/{name}"
        return bool(self._fs.isfile(path) or self._fs.isfile(f"{path}/{_DIGESTS}"))

    def _hidden(self) -> Path:
        """A name for what is not whole yet, or no longer."""
        return Path(self._base, f".{uuid.uuid4().hex}")

    def _publish_here(self, name: str, folder: Path, files: list[str], listing: bytes) -> None:
        durable.make_folder(Path(self._base))
        part = self._hidden()
        try:
            part.mkdir()
            for path in files:
                (part / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / path, part / path)
            (part / _DIGESTS).write_bytes(listing)
            durable.sync_tree(part)
            durable.replace(part, Path(self._base, name), self._hidden())
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _upload(self, name: str, folder: Path, files: list[str], listing: bytes) -> None:
        self.remove(name)
        try:
            for path in files:
                self._fs.put_file(str(folder / path), f"{self._base}/{name}/{path}")
            self._fs.pipe_file(f"{self._base}/{name}/{_DIGESTS}", listing)
        except BaseException:
            self.remove(name)
            raise

    def _download(self, name: str, copies: Path) -> Path | None:
        listing = self.read(f"{name}/{_DIGESTS}")
        if listing is None:
            return None
        copy = copies / hashlib.sha256(listing).hexdigest()
        if not _is_whole(copy):
            shutil.rmtree(copy, ignore_errors=True)
            with contextlib.suppress(ValidationError):
                fetch(self._fs, f"{self._base}/{name}", [*_FILES.validate_json(listing), _DIGESTS], copy)
        if _is_whole(copy):
            return copy
        shutil.rmtree(copy, ignore_errors=True)
        return None


def _is_whole(folder: Path) -> bool:
    try:
        files = _FILES.validate_json((folder / _DIGESTS).read_bytes())
        found = hash_folder(folder)
    # It is not there, or goes while it is read.
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return False
    found.pop(_DIGESTS)
    return found == files
