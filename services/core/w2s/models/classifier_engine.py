"""Classifiers and reward models that the trainer made, as engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from w2s.errors import W2SError
from w2s.models.architecture import position_limit
from w2s.models.checkpoint import Checkpoint
from w2s.models.classifier import pair_features
from w2s.models.engine import Engine, Item
from w2s.models.features import FeatureCache
from w2s.models.inputs import Completion, Row
from w2s.models.predict import Predictor
from w2s.models.sequence_head import answer_items, within
from w2s.models.spec import Encoding
from w2s.models.tokens import TokenItem, each, tokenize_rows


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


class TrainedRewardEngine(Engine):
    """Scores completions; an item gives the reward, shape [1].

    Args:
        checkpoint: The reward model, on its device and in evaluation mode.
        bfloat16: Runs the body in bfloat16, by autocast.
        cache: Shares the work of a frozen body, batch by batch; None computes all of it.
    """

    scores = True
    rewards = True

    def __init__(self, checkpoint: Checkpoint, *, bfloat16: bool = False, cache: FeatureCache | None = None) -> None:
        self._checkpoint = checkpoint
        self._predictor = Predictor(checkpoint, cache, bfloat16=bfloat16)
        body = checkpoint.model.body
        # It was trained on sequences cut to a length; it can read what its body can.
        self._limit = position_limit(body, checkpoint.tokenizer)

    def encode_completions(self, completions: Sequence[Completion]) -> list[Item | W2SError]:
        """One sequence a completion, or an error where the model cannot read it whole."""
        return [within(item, self._limit) for item in each(self._encode, completions, "completion")]

    def run(self, batch: Sequence[Item]) -> list[NDArray[np.float32]]:
        """Rewards, shape [1] each."""
        tokens = [item.tokens for item in cast("Sequence[TokenItem]", batch)]
        return list(self._checkpoint.logits(self._predictor.batch(tokens)))

    def _encode(self, completions: Sequence[Completion]) -> list[TokenItem]:
        config = self._checkpoint.model.config
        return answer_items(self._checkpoint.tokenizer, completions, chat_template=config.chat_template)
