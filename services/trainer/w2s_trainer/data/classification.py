"""What classifiers are trained and scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models.classifier import ClassifierConfig
from w2s.models.spec import Encoding
from w2s.models.tokens import Tokens, tokenize
from w2s_trainer.data.packing import Packed, padded
from w2s_trainer.data.rows import Rows
from w2s_trainer.loop.contract import Micro


@dataclass(frozen=True)
class ClassificationExamples(Rows):
    """Texts, or what a frozen body made of them, with label distributions.

    Attributes:
        targets: Label distributions, shape [N, C], fp32.
        truth: True classes, shape [N], int64; None where they are not known.
        text: The texts' tokens; None where there are features.
        pair: The second texts', for a pair encoder.
        features: What the head reads, shape [N, D].
    """

    targets: Tensor
    truth: Tensor | None
    text: Packed | None = None
    pair: Packed | None = None
    features: Tensor | None = None

    def __post_init__(self) -> None:
        assert (self.text is None) != (self.features is None)

    @classmethod
    def of_texts(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        config: ClassifierConfig,
        ids: Sequence[str],
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        targets: Tensor,
        truth: Tensor | None,
    ) -> ClassificationExamples:
        """Tokenizes texts as the classifier reads them.

        Raises:
            InvalidArgument: A pair encoder has no second texts to read.
        """
        if config.encoding == Encoding.PAIR and pairs is None:
            raise InvalidArgument("model.encoding", "PAIR needs a dataset with two texts an example")
        first, second = tokenize(tokenizer, config, texts, pairs)
        if second is None:
            cut = _cut(tokenizer, config.max_length, first, texts, pairs)
        else:
            assert pairs is not None
            cut = _cut(tokenizer, config.max_length, first, texts) | _cut(tokenizer, config.max_length, second, pairs)
        pair = None if second is None else Packed.of(second)
        return cls(tuple(ids), cut, targets.float(), truth, text=Packed.of(first), pair=pair)

    @classmethod
    def of_features(
        cls, ids: Sequence[str], features: Tensor, targets: Tensor, truth: Tensor | None, cut: NDArray[np.bool_]
    ) -> ClassificationExamples:
        """Examples whose texts a frozen body has read.

        Args:
            ids: Example ids, length N.
            features: Shape [N, D].
            targets: Label distributions, shape [N, C].
            truth: True classes, shape [N], int64.
            cut: Whether a text was cut before it was read, shape [N]: `cut` of `of_texts`.
        """
        return cls(tuple(ids), cut, targets.float(), truth, features=features)

    @property
    def packs(self) -> tuple[Packed, ...]:
        """One sequence an example, two for a pair encoder, none for features."""
        return tuple(pack for pack in (self.text, self.pair) if pack is not None)

    def micro(self, rows: Sequence[int]) -> Micro:
        """Inputs `features`, or `text` and for a pair encoder `pair`; targets `targets` and `truth`."""
        chosen = torch.as_tensor(rows)
        inputs: dict[str, Any] = {
            name: padded([pack], rows) for name, pack in (("text", self.text), ("pair", self.pair)) if pack is not None
        }
        if self.features is not None:
            inputs["features"] = self.features[chosen]
        targets = {"targets": self.targets[chosen]}
        if self.truth is not None:
            targets["truth"] = self.truth[chosen]
        return Micro(inputs, targets)


def _cut(
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    sequences: Sequence[Tokens],
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
) -> NDArray[np.bool_]:
    """Which texts have more tokens than were kept, shape [N]; only full sequences are read again."""
    cut = np.zeros(len(sequences), bool)
    full = [row for row, tokens in enumerate(sequences) if len(tokens["input_ids"]) >= max_length]
    if full:
        seconds = None if pairs is None else [pairs[row] for row in full]
        whole = tokenizer([texts[row] for row in full], seconds, verbose=False)["input_ids"]
        cut[full] = [len(ids) > max_length for ids in whole]
    return cut
