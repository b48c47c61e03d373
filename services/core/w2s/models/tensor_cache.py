"""Tensors on local disk that can be computed again, within a bound."""

from __future__ import annotations

import contextlib
import io
import os
import time
import uuid
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# No entry takes as long to write: whoever was writing it is gone.
_ABANDONED_S = 3600.0


class TensorCache:
    """Tensors by key; several processes may share the folder.

    Args:
        folder: Where entries are, and nothing else.
        max_bytes: The entries used longest ago go when the folder grows past this.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Tensor | None:
        """An entry, or None where there is none that can be read."""
        path = self._path(key)
        try:
            found = np.load(path, allow_pickle=False)
            os.utime(path)
        # Another process may prune it meanwhile.
        except (FileNotFoundError, ValueError, EOFError):
            return None
        return torch.from_numpy(found)

    def put(self, key: str, tensor: Tensor) -> None:
        """Writes an entry; readers see all of it or nothing."""
        part, content = self._folder / f".{uuid.uuid4().hex}", io.BytesIO()
        # Not into the file itself: numpy would not say that a disk is full.
        np.save(content, tensor.numpy(), allow_pickle=False)
        try:
            part.write_bytes(content.getbuffer())
            os.replace(part, self._path(key))
        finally:
            part.unlink(missing_ok=True)

    def prune(self) -> None:
        """Removes what was used longest ago until the rest fits, and what a process that was killed left half done."""
        used = []
        for path in self._folder.iterdir():
            # Another process may prune as well.
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                used.append((found.st_mtime, found.st_size, path))
        total = 0
        for last, size, path in sorted(used, reverse=True):
            if path.name.startswith("."):
                over = last < time.time() - _ABANDONED_S
            else:
                total += size
                over = total > self._max_bytes
            if over:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.npy"
