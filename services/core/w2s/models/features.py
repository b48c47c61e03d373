"""Keeps what frozen bodies compute, so that runs that share a body and texts share the work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from w2s.models.tensor_cache import TensorCache
from w2s.models.tokens import Tokens, identity


class FeatureCache(TensorCache):
    """Pooled vectors, shape [B, H], float32, by body and batch of token sequences, and by what computes them.

    An entry is a whole batch, computed as one: a hit is bit for bit what a miss computes.

    Args:
        folder: Where entries are; several processes may share it.
        max_bytes: The entries used longest ago go when the folder grows past this.
    """

    def __init__(self, folder: Path, max_bytes: int = 2 << 30) -> None:
        super().__init__(folder, max_bytes)

    def key(self, fingerprint: str, batch: Sequence[Tokens], device: torch.device, dtype: torch.dtype) -> str:
        """The entry's name: sha256 in hex over the body, the kind of device, what it computes in, and the sequences."""
        digest = hashlib.sha256(f"{fingerprint}/{device.type}/{dtype}/".encode())
        for tokens in batch:
            for ids in identity(tokens):
                digest.update(np.asarray([len(ids), *ids], dtype="<i4").tobytes())
        return digest.hexdigest()
