"""Classifiers that the trainer made, as engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from w2s.errors import W2SError
from w2s.models.checkpoint import Checkpoint
from w2s.models.classifier import pair_features
from w2s.models.engine import Engine, Item
from w2s.models.inputs import Row
from w2s.models.spec import Encoding
from w2s.models.tokens import TokenItem, tokenize_rows


class ClassifierEngine(Engine):
    """Labels rows; an item gives the vector that its sequence is pooled to.

    Args:
        checkpoint: The classifier, on its device and in evaluation mode.
        bfloat16: Runs the body in bfloat16, by autocast.
    """

    def __init__(self, checkpoint: Checkpoint, *, bfloat16: bool = False) -> None:
        self._checkpoint = checkpoint
        self._bfloat16 = bfloat16
        self.label_names = tuple(checkpoint.label_names)
        self.needs_pairs = checkpoint.model.config.encoding == Encoding.PAIR

    def encode_rows(self, rows: Sequence[Row]) -> list[list[Item] | W2SError]:
        """One sequence a row, or two for a pair encoder; texts are cut to the classifier's length."""
        length = self._checkpoint.model.config.max_length
        return tokenize_rows(self._checkpoint.tokenizer, length, rows, apart=self.needs_pairs)

    def run(self, batch: Sequence[Item]) -> list[NDArray[np.float32]]:
        """Pooled vectors, shape [H] each."""
        tokens = [item.tokens for item in cast("Sequence[TokenItem]", batch)]
        return list(self._checkpoint.pool(tokens, bfloat16=self._bfloat16).numpy())

    def logits(self, parts: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Logits of rows, shape [N, C]."""
        columns = [torch.from_numpy(np.stack(column)) for column in zip(*parts, strict=True)]
        return self._checkpoint.logits(pair_features(*columns) if self.needs_pairs else columns[0])
