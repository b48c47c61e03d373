"""Rows of the store's tables, each with the texts that must not be in two splits."""

from __future__ import annotations

from dataclasses import dataclass
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
class Row:
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

    @property
    def columns(self) -> dict[str, Any]:
        """The row of the table."""
        return {name: getattr(self, name) for name in ("id", "text", "text_pair", "label", "slice")}


@dataclass(frozen=True)
class Pair:
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

    @property
    def columns(self) -> dict[str, Any]:
        """The row of the table."""
        return {name: getattr(self, name) for name in ("id", "prompt", "first", "second", "label", "slice")}


@dataclass(frozen=True)
class Completion:
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

    @property
    def columns(self) -> dict[str, Any]:
        """The row of the table."""
        return {name: getattr(self, name) for name in ("id", "prompt", "completion", "slice")}


TableRow: TypeAlias = Row | Pair | Completion
"""A row of the examples, the pairs or the completions."""
