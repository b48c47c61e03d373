"""Token sequences of many lengths in flat arrays, padded without a loop over tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2s.models.tokens import Tokens


@dataclass(frozen=True)
class Packed:
    """N token sequences, one after another.

    Attributes:
        columns: What a model reads of each token by name, such as `input_ids`: flat, int32.
            All of it is to be seen, so there is no attention mask.
        offsets: Where each sequence begins, and where the last one ends, shape [N+1], int64.
    """

    columns: dict[str, NDArray[np.int32]]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequence[Tokens]) -> Packed:
        """Packs N >= 1 sequences that have the same columns."""
        lengths = [len(tokens["input_ids"]) for tokens in sequences]
        names = [name for name in sequences[0] if name != "attention_mask"]
        columns = {
            name: np.fromiter(chain.from_iterable(tokens[name] for tokens in sequences), np.int32, sum(lengths))
            for name in names
        }
        return cls(columns, _offsets(np.asarray(lengths)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence, shape [N]."""
        return np.diff(self.offsets)

    @property
    def sequences(self) -> list[Tokens]:
        """Each sequence as a tokenizer gives it."""
        ends = zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)
        return [
            {name: values[start:end].tolist() for name, values in self.columns.items()}
            | {"attention_mask": [1] * (end - start)}
            for start, end in ends
        ]

    def take(self, rows: NDArray[np.int64]) -> Packed:
        """Some of the sequences, in the order of their indices."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Packed({name: values[places] for name, values in self.columns.items()}, offsets)


def joined(packs: Sequence[Packed]) -> Packed:
    """The sequences of packs with the same columns, those of the first pack first."""
    columns = {name: np.concatenate([pack.columns[name] for pack in packs]) for name in packs[0].columns}
    return Packed(columns, _offsets(np.concatenate([pack.lengths for pack in packs])))


def padded(packs: Sequence[Packed], rows: Sequence[int]) -> dict[str, Tensor]:
    """What a model is called with: sequences padded on the right to the longest of them.

    Args:
        packs: P packs with the same columns.
        rows: Indices of B sequences, taken from each pack.

    Returns:
        The columns and `attention_mask`, shape [S, T] each, int64, for S = P x B: the rows of
        the first pack, then those of the second. Every column is 0 where the mask is, which
        may be a token's id: only the mask tells what is padding.
    """
    chosen = np.asarray(rows)
    lengths = np.concatenate([pack.lengths[chosen] for pack in packs])
    places = np.arange(lengths.max())
    mask = (places < lengths[:, None]).astype(np.int64)
    tensors = {"attention_mask": torch.from_numpy(mask)}
    for name in packs[0].columns:
        # Beyond a sequence's end this reads its neighbour, and beyond the last one's the last token.
        values = [pack.columns[name].take(pack.offsets[chosen][:, None] + places, mode="clip") for pack in packs]
        tensors[name] = torch.from_numpy(np.concatenate(values) * mask)
    return tensors


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
