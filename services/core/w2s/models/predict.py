"""Runs a classifier over texts, in batches by token budget."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2s.models.batches import token_batches
from w2s.models.checkpoint import Checkpoint, body_fingerprint
from w2s.models.classifier import pair_features
from w2s.models.features import FeatureCache
from w2s.models.tokens import Tokens, identity, tokenize

# Called after each batch with (sequences done, sequences in all); may raise to stop the work.
Tick = Callable[[int, int], None]

DEFAULT_TOKEN_BUDGET = 4096


class Predictor:
    """A classifier ready to predict.

    Args:
        checkpoint: The classifier; used in evaluation mode while predicting.
        cache: Shares the work of frozen bodies; unused when the body was trained.
        token_budget: Padded tokens a batch.
        bfloat16: Computes in bfloat16 where that is safe, or in float32; None for bfloat16 on a GPU alone.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        cache: FeatureCache | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        *,
        bfloat16: bool | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self._budget = token_budget
        self._bfloat16 = checkpoint.model.device.type == "cuda" if bfloat16 is None else bfloat16
        self._cache = cache if checkpoint.model.config.body_frozen else None
        self._fingerprint = body_fingerprint(checkpoint.model) if self._cache else ""

    def logits(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, tick: Tick | None = None
    ) -> NDArray[np.float32]:
        """Logits of each example, shape [N, C], float32.

        Args:
            texts: First texts, length N >= 1.
            pairs: Second texts, length N, or None.
            tick: Reports progress.
        """
        return self.checkpoint.logits(self.features(texts, pairs, tick))

    def features(self, texts: Sequence[str], pairs: Sequence[str] | None = None, tick: Tick | None = None) -> Tensor:
        """What the head reads, shape [N, D], float32, on the CPU. Arguments as `logits`."""
        first, second = tokenize(self.checkpoint.tokenizer, self.checkpoint.model.config, texts, pairs)
        if second is None:
            return self.pooled(first, tick)
        # One pass over both columns: better batches, and a text that is in both is encoded once.
        pooled = self.pooled([*first, *second], tick)
        return pair_features(pooled[: len(first)], pooled[len(first) :])

    def pooled(self, sequences: Sequence[Tokens], tick: Tick | None = None) -> Tensor:
        """One vector for each sequence, shape [N, H], float32, on the CPU; equal sequences are computed once."""
        keys = [identity(tokens) for tokens in sequences]
        unique = dict(zip(keys, sequences, strict=True))
        # The order of the token ids, not of the data, so that equal sets make equal batches.
        ordered = [unique[key] for key in sorted(unique)]
        vectors = torch.empty(len(ordered), self.checkpoint.model.config.body.hidden_size)
        done = 0
        batches = list(token_batches([len(tokens["input_ids"]) for tokens in ordered], self._budget))
        if self._cache:
            # Runs that need the same batches at the same time each go their own way, and meet each other's work.
            random.Random(os.getpid()).shuffle(batches)  # noqa: S311 - no secret
        for batch in batches:
            vectors[batch] = self.batch([ordered[index] for index in batch])
            done += len(batch)
            if tick:
                tick(done, len(ordered))
        row = {key: index for index, key in enumerate(sorted(unique))}
        return vectors[[row[key] for key in keys]]

    def batch(self, batch: Sequence[Tokens]) -> Tensor:
        """The same of one batch, B >= 1, computed at once where it is not kept."""
        if self._cache is None:
            return self._compute(batch)
        dtype = torch.bfloat16 if self._bfloat16 else torch.float32
        key = self._cache.key(self._fingerprint, batch, self.checkpoint.model.device, dtype)
        vectors = self._cache.get(key)
        if vectors is None:
            vectors = self._compute(batch)
            self._cache.put(key, vectors)
            self._cache.prune()
        return vectors

    def _compute(self, batch: Sequence[Tokens]) -> Tensor:
        return self.checkpoint.pool(batch, bfloat16=self._bfloat16)
