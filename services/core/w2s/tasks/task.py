"""What a task is: where its rows come from and how they become examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Row:
    """A source row before it becomes an example.

    Attributes:
        id: Stable and distinct within the task.
        text: The first text.
        text_pair: The second text; None for single-text tasks.
        label: The true class, an index into the task's `label_names`.
    """

    id: str
    text: str
    text_pair: str | None
    label: int

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the row."""
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)


@dataclass(frozen=True)
class Task:
    """A classification task, as data.

    Attributes:
        name: Its key in the registry.
        title: A few words for people.
        source: Address of the rows, such as `pkg://PACKAGE/FILE.jsonl`.
        text: The source column of the first text.
        text_pair: The source column of the second text; empty for none.
        label: The source column of the label; empty when `conversion` makes labels.
        label_values: The label column's values in the order of `label_names`.
        label_names: The classes.
        conversion: How rows become examples: `labelled` takes the source's label;
            `relevance` asks whether the second text belongs to the first, and draws
            half of the second texts from the most similar other rows (hard negatives).
        split_by: `component` keeps rows together that share a text, and loses none;
            `text` gives each text to one split and drops the rows whose texts fall apart,
            for sources in which nearly everything is connected.
        pair_words: Words the second text is cut to; 0 for all.
        metric: What is reported.
        licence: The licence of the source.
        version: Raised whenever the examples change.
    """

    name: str
    title: str
    source: str
    text: str
    label_names: tuple[str, ...]
    licence: str
    text_pair: str = ""
    label: str = ""
    label_values: tuple[str, ...] = field(default=())
    conversion: Literal["labelled", "relevance"] = "labelled"
    split_by: Literal["component", "text"] = "component"
    pair_words: int = 0
    metric: Literal["accuracy"] = "accuracy"
    version: int = 1
