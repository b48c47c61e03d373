"""Multiple choice as a question of yes or no."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from w2s.tasks.conversions.base import Conversion, Kind
from w2s.tasks.draws import coin, identity, pick, shuffle
from w2s.tasks.rows import Row
from w2s.tasks.text import Fields, Template, columns_of, one_line, render, text_of, value_of

_DRAWN = ("answer", "choices")
_LETTERED = re.compile(r"(?:^|\n)[ \t]*[A-Z][.)][ \t]+")


@dataclass(frozen=True)
class Question:
    """A question before its answer is drawn.

    Attributes:
        id: Stable and distinct within the task.
        texts: What must not be in two splits.
        fields: The texts of the form, but for what is drawn.
        options: The distinct answers to choose from.
        right: The right one; None when it is never shown.
        slice: The slice that it is in.
    """

    id: str
    texts: tuple[str, ...]
    fields: Mapping[str, str]
    options: tuple[str, ...]
    right: str | None
    slice: str | None


class BinaryChoice(Conversion):
    """Asks whether an answer is the right one: a coin shows the right one, or any wrong one.

    Both are texts of the options, cleaned alike, in one form: nothing but its content tells
    a right answer.

    Attributes:
        text: The form, with `{answer}`, and `{choices}` for all options in a drawn order.
        text_pair: The form of a second text; empty for none.
        options: The columns of the options, each a text or a list of texts; or one text with
            lines such as `A. ...`.
        correct: The column that says which is right; not read with `first`.
        correct_is: `index` counts from 0 and `number` from 1, both as numbers or digits; `key`
            is one of `keys`; `text` is the option's own; `first` is always the first option.
        keys: The column of the options' keys, in their order, or the keys themselves.
        never: An option that is never shown, as what it says is about the others; where it is
            right, all that can be shown are wrong.
        names: The classes of wrong and right answers.
    """

    kind_of_task: ClassVar[Kind] = "classification"

    kind: Literal["binary_choice"]
    text: Template
    text_pair: Template = ""
    options: tuple[str, ...] = Field(min_length=1)
    correct: str = ""
    correct_is: Literal["index", "number", "key", "text", "first"]
    keys: str | tuple[str, ...] = ""
    never: str = ""
    names: tuple[str, str] = ("wrong", "right")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The two classes."""
        return self.names

    def read(self, fields: Fields) -> Question | None:
        """A question; None without a right answer."""
        options = self._options(fields)
        right = self._right(fields, options)
        if right is None:
            return None
        shown = tuple(dict.fromkeys(option for option in options if option and option != one_line(self.never)))
        columns = [c for form in (self.text, self.text_pair) for c in columns_of(form) if c not in _DRAWN]
        if len(shown) < 2:
            return None
        return Question(
            id=identity(*(text_of(fields, column) for column in columns), options),
            texts=self.grouped(fields, columns),
            fields={column: text_of(fields, column) for column in columns},
            options=shown,
            right=right if right in shown else None,
            slice=self.sliced(fields),
        )

    def finish(self, items: Sequence[Question], _companions: Sequence[Any], salt: str) -> list[Row]:
        """The rows of a split, each with an answer drawn by its id."""
        return [self._row(item, salt) for item in items]

    def _row(self, item: Question, salt: str) -> Row:
        label = int(item.right is not None and coin(salt, item.id))
        wrong = [option for option in item.options if option != item.right]
        answer = item.right if label and item.right is not None else pick(salt, item.id, wrong)
        drawn = {**item.fields, "answer": answer, "choices": shuffle(salt, item.id, item.options)}
        pair = render(self.text_pair, drawn, str) if self.text_pair else None
        return Row(item.id, render(self.text, drawn, str), pair, label, item.slice, item.texts)

    def _options(self, fields: Fields) -> list[str]:
        values = [value_of(fields, column) for column in self.options]
        if len(values) == 1 and isinstance(values[0], str):
            values = [part for part in _LETTERED.split(values[0]) if part.strip()]
        elif len(values) == 1:
            values = list(values[0])
        return [one_line(value) for value in values]

    def _right(self, fields: Fields, options: Sequence[str]) -> str | None:
        if self.correct_is == "first":
            return options[0]
        value = value_of(fields, self.correct)
        if value in (None, ""):
            return None
        if self.correct_is == "text":
            text = one_line(_LETTERED.sub("", value))
            return text if text in options else None
        if self.correct_is == "key":
            keys = value_of(fields, self.keys) if isinstance(self.keys, str) else self.keys
            place = list(keys).index(value)
        else:
            place = int(value) - (self.correct_is == "number")
        # Tests without answers say -1.
        return options[place] if place >= 0 else None
