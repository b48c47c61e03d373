"""Where a long job keeps what it has done so far, beside the artifacts and out of callers' reach."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any


class Workspace:
    """Named blobs of one job, in the store's own file system, so that any replica can go on.

    Args:
        fs: The fsspec file system.
        base: The folder in it.
        local: Whether the file system is this machine's.
    """

    def __init__(self, fs: Any, base: str, local: bool) -> None:
        self._fs = fs
        self._base = base
        self._local = local

    def write(self, name: str, content: bytes) -> None:
        """Writes a blob: it is there as a whole, and survives a crash of the machine, or not at all."""
        if not self._local:
            self._fs.pipe_file(f"{self._base}/{name}", content)
            return
        folder = Path(self._base)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{uuid.uuid4().hex}"
        try:
            with part.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """A blob, or None when there is none."""
        try:
            content: bytes = self._fs.cat_file(f"{self._base}/{name}")
        except FileNotFoundError:
            return None
        return content

    def clear(self) -> None:
        """Removes everything."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._base, recursive=True)
