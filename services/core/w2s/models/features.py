"""Keeps what frozen bodies compute, so that runs that share a body and texts share the work."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from w2s.models.tokens import Tokens, identity


class FeatureCache:
    """Pooled vectors on local disk, by body and batch of token sequences.

    An entry is a whole batch, computed as one: a hit is bit for bit what a miss computes.

    Args:
        folder: Where entries are; several processes may share it.
        max_bytes: The oldest entries go when the folder grows past this.
    """

    def __init__(self, folder: Path, max_bytes: int = 2 << 30) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def key(self, fingerprint: str, batch: Sequence[Tokens]) -> str:
        """The entry's name: sha256 in hex over the body and the sequences' identities."""
        digest = hashlib.sha256(fingerprint.encode())
        for tokens in batch:
            for ids in identity(tokens):
                digest.update(np.asarray([len(ids), *ids], dtype="<i4").tobytes())
        return digest.hexdigest()

    def get(self, key: str) -> Tensor | None:
        """The entry's vectors, shape [B, H], float32, or None."""
        path = self._path(key)
        try:
            vectors = np.load(path, allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            return None
        path.touch()
        return torch.from_numpy(vectors)

    def put(self, key: str, vectors: Tensor) -> None:
        """Writes an entry; readers see all of it or nothing."""
        part = self._folder / f".{uuid.uuid4().hex}"
        with part.open("wb") as stream:
            np.save(stream, vectors.numpy(), allow_pickle=False)
        os.replace(part, self._path(key))

    def prune(self) -> None:
        """Removes the entries used longest ago until the rest fits."""
        entries = sorted(((p.stat().st_mtime, p.stat().st_size, p) for p in self._folder.glob("*.npy")), reverse=True)
        total = 0
        for _, size, path in entries:
            total += size
            if total > self._max_bytes:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.npy"
