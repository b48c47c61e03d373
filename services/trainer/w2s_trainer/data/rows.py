"""What all examples have in common: columns of N rows that are chosen and joined together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2s_trainer.data.packing import Packed, joined
from w2s_trainer.loop.contract import Micro

R = TypeVar("R", bound="Rows")


@dataclass(frozen=True)
class Rows(ABC):
    """Examples as columns: every field has a row for each, or is None.

    Attributes:
        ids: Example ids, length N.
        cut: Whether a text of it had more tokens than a model reads, shape [N].
    """

    ids: tuple[str, ...]
    cut: NDArray[np.bool_]

    @property
    @abstractmethod
    def packs(self) -> tuple[Packed, ...]:
        """The sequences that each example reads; none where it reads features."""

    @abstractmethod
    def micro(self, rows: Sequence[int]) -> Micro:
        """As `w2s_trainer.loop.contract.Examples`."""

    @property
    def sequences(self) -> int:
        """Sequences that each example reads; features count as one."""
        return max(1, len(self.packs))

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each example's longest sequence; features count as one."""
        longest: list[int] = np.max(
            [np.ones(len(self.ids), np.int64), *(p.lengths for p in self.packs)], axis=0
        ).tolist()
        return longest

    @cached_property
    def token_counts(self) -> list[int]:
        """Tokens of all of each example's sequences; features count as one."""
        if not self.packs:
            return [1] * len(self.ids)
        total: list[int] = np.sum([pack.lengths for pack in self.packs], axis=0).tolist()
        return total

    @property
    def truncated(self) -> int:
        """How many examples had a text cut."""
        return int(self.cut.sum())

    def subset(self, rows: Sequence[int]) -> Self:
        """Some of the examples, in the order of their indices."""
        chosen = np.asarray(rows, np.int64)
        return replace(self, **{field.name: _take(getattr(self, field.name), chosen) for field in fields(self)})


def concat(parts: Sequence[R]) -> R:
    """The examples of datasets of one kind; what one of them lacks, such as ground truth, their mixture lacks."""
    names = [field.name for field in fields(parts[0])]
    return replace(parts[0], **{name: _join([getattr(part, name) for part in parts]) for name in names})


def _take(column: Any, rows: NDArray[np.int64]) -> Any:
    if isinstance(column, Packed):
        return column.take(rows)
    if isinstance(column, tuple):
        return tuple(column[row] for row in rows)
    return None if column is None else column[rows]


def _join(columns: Sequence[Any]) -> Any:
    if any(column is None for column in columns):
        return None
    if isinstance(columns[0], Packed):
        return joined(columns)
    if isinstance(columns[0], tuple):
        return sum(columns, ())
    return torch.cat(list(columns)) if isinstance(columns[0], Tensor) else np.concatenate(columns)
