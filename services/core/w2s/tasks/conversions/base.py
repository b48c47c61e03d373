"""What a conversion offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from w2s.tasks.origins import Origin
from w2s.tasks.rows import Item, TableRow
from w2s.tasks.text import Fields, text_of, value_of

Kind = Literal["classification", "pairs", "completions"]


class Conversion(BaseModel, ABC):
    """How source rows become rows of a table, in two steps: each is read, and each split is finished.

    Attributes:
        group: Columns whose texts must not be in two splits; empty for all that the texts name.
        group_until: Where those texts end for this, such as at `[SEP]`; empty for their ends.
        slice: The column that names a row's slice; empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind_of_task: ClassVar[Kind]

    group: tuple[str, ...] = ()
    group_until: str = ""
    slice: str = ""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes; none without labels."""
        return ()

    @property
    def companion(self) -> Origin | None:
        """A second source, whose texts each split gets a share of."""
        return None

    @abstractmethod
    def read(self, fields: Fields) -> Any | None:
        """A source row as an `Item`; None for one that the task leaves out.

        Raises:
            KeyError, TypeError, ValueError: The row is not what the task says.
        """

    def read_companion(self, fields: Fields) -> Any | None:
        """A row of the second source, likewise."""
        raise NotImplementedError

    def same(self, item: Any) -> object:
        """What two items have in common when one is the other's duplicate."""
        return item.id

    def decided(self, items: Sequence[Any]) -> Sequence[Any]:
        """What is kept of items that are duplicates of each other, one at most."""
        return items[:1]

    @abstractmethod
    def finish(self, items: Sequence[Any], companions: Sequence[Any], salt: str) -> Sequence[TableRow]:
        """The rows of one split.

        Args:
            items: What `read` made of the split's rows.
            companions: What `read_companion` made of the split's share of the second source.
            salt: Draws whatever is drawn, by the row's id.
        """

    def grouped(self, fields: Fields, columns: Sequence[str]) -> tuple[str, ...]:
        """The texts that keep a row in one split: those of `group`, or else of the columns given."""
        texts = [text_of(fields, column) for column in self.group or columns]
        if self.group_until:
            texts = [text.partition(self.group_until)[0].strip() for text in texts]
        return tuple(dict.fromkeys(texts))

    def sliced(self, fields: Fields) -> str | None:
        """The slice that a row is in."""
        value = value_of(fields, self.slice) if self.slice else None
        return None if value in (None, "") else str(value)


def longest(item: Item) -> int:
    """Characters of an item's longest text."""
    return max(len(text) for value in vars(item).values() for text in _texts(value))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple) else [value] if isinstance(value, str) else []
