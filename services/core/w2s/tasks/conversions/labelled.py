"""Classification of texts whose class the source says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from w2s.tasks.conversions.base import Conversion, Kind
from w2s.tasks.draws import identity
from w2s.tasks.rows import Row, TableRow
from w2s.tasks.text import Fields, Template, render, value_of

Values = Annotated[tuple[StrictBool | StrictInt | StrictStr, ...], Field(min_length=1)]


class Texts(Conversion):
    """One text or two.

    Attributes:
        text: The first text.
        text_pair: The second text; empty for none.
        pair_words: Words that the second text is cut to; 0 for all.
    """

    kind_of_task: ClassVar[Kind] = "classification"

    text: Template
    text_pair: Template = ""
    pair_words: int = Field(default=0, ge=0)

    def row(self, fields: Fields, label: int) -> Row:
        """The texts of a source row with a label."""
        text = render(self.text, fields)
        pair = render(self.text_pair, fields) if self.text_pair else None
        if pair and self.pair_words:
            pair = " ".join(pair.split()[: self.pair_words])
        group = self.grouped(fields, ())
        return Row(identity(text, pair), text, pair, label, self.sliced(fields), group)

    def finish(self, items: Sequence[Any], _companions: Sequence[Any], _salt: str) -> Sequence[TableRow]:
        """The rows as they were read."""
        return items


class Labelled(Texts):
    """The source's own label.

    Attributes:
        label: Its column.
        labels: The column's values by class, in the order of the classes; rows with other values are refused.
        unlabelled: Values of rows that are left out.
        conflicts: Of rows with equal texts, `first` keeps the first; `drop` drops all if their labels differ.
    """

    kind: Literal["labelled"]
    label: str
    labels: dict[str, Values] = Field(min_length=2)
    unlabelled: Values | tuple[()] = ()
    conflicts: Literal["first", "drop"] = "first"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.labels)

    def read(self, fields: Fields) -> Row | None:
        """A row; None without a label."""
        value = value_of(fields, self.label)
        if value is None or value in self.unlabelled:
            return None
        label = next((index for index, values in enumerate(self.labels.values()) if value in values), None)
        if label is None:
            raise ValueError(f"{self.label} is {value!r}, which is no class")
        return self.row(fields, label)

    def decided(self, items: Sequence[Any]) -> Sequence[Any]:
        """The first, unless conflicts are dropped and their labels differ."""
        return [] if self.conflicts == "drop" and len({item.label for item in items}) > 1 else items[:1]


class Scored(Texts):
    """A class for low scores and one for high scores; rows between are left out.

    Attributes:
        score: The column of the score.
        low: The highest score of the first class.
        high: The lowest score of the second class.
        names: The two classes.
    """

    kind: Literal["scored"]
    score: str
    low: float
    high: float
    names: tuple[str, str]

    @property
    def label_names(self) -> tuple[str, ...]:
        """The two classes."""
        return self.names

    def read(self, fields: Fields) -> Row | None:
        """A row; None without a score, or with one between."""
        value = value_of(fields, self.score)
        if value is None or self.low < float(value) < self.high:
            return None
        return self.row(fields, int(float(value) >= self.high))
