"""Rows of the store's tables, each with the texts that must not be in two splits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias


class Item(Protocol):
    """What is split: a source row that was read, or a row of a table."""

    @property
    def id(self) -> str:
        """Stable, and distinct within the task."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that must not be in two splits, one at least."""


@dataclass(frozen=True)
class _Columns:
    @property
    def columns(self) -> dict[str, Any]:
        """The row of the table: all fields but the group, which only says how rows are split."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "group"}


@dataclass(frozen=True)
class Row(_Columns):
    """An example to classify.

    Attributes:
        id: Stable and distinct within the task.
        text: The first text.
        text_pair: The second text; None for single-text tasks.
        label: The true class, an index into the task's `label_names`.
        slice: The slice that it is in.
        group: What must not be in two splits; empty for the texts themselves.
    """

    id: str
    text: str
    text_pair: str | None
    label: int
    slice: str | None = None
    group: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that must not be in two splits."""
        return self.group or ((self.text,) if self.text_pair is None else (self.text, self.text_pair))


@dataclass(frozen=True)
class Pair(_Columns):
    """Two answers to a prompt.

    Attributes:
        id: Stable and distinct within the task.
        prompt: What is answered.
        first: An answer.
        second: Another.
        label: 0 where the first is preferred, 1 where the second is.
        slice: The slice that it is in.
        group: What must not be in two splits; empty for the prompt.
    """

    id: str
    prompt: str
    first: str
    second: str
    label: int
    slice: str | None = None
    group: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that must not be in two splits."""
        return self.group or (self.prompt,)


@dataclass(frozen=True)
class Completion(_Columns):
    """A prompt and what follows it.

    Attributes:
        id: Stable and distinct within the task.
        prompt: What is completed.
        completion: What follows; empty where a teacher is to write it.
        slice: The slice that it is in.
        group: What must not be in two splits; empty for the prompt.
    """

    id: str
    prompt: str
    completion: str
    slice: str | None = None
    group: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that must not be in two splits."""
        return self.group or (self.prompt,)


TableRow: TypeAlias = Row | Pair | Completion
"""A row of the examples, the pairs or the completions."""
