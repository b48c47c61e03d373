"""Texts made of a source row: named columns put into a form, never code and never a format string from data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

Fields = Mapping[str, Any]
"""A source row: values by column."""

_FIELD = re.compile(r"\{([A-Za-z][\w.-]*)\}")


def _check(template: str) -> str:
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise ValueError("braces must hold the name of a column, such as {question}, and nothing else")
    return template


Template = Annotated[str, AfterValidator(_check)]
"""A form such as `Q: {question} A: {answer}`; a dot leads into a column that holds columns."""


def columns_of(template: str) -> list[str]:
    """The columns that a form names, in its order."""
    return _FIELD.findall(template)


def value_of(fields: Fields, column: str) -> Any:
    """The value of a column; a name with a dot is looked up part by part.

    Raises:
        KeyError: There is no such column.
    """
    if column in fields or "." not in column:
        return fields[column]
    outer, _, inner = column.partition(".")
    return value_of(fields[outer], inner)


def one_line(text: str) -> str:
    """A text with its white space made single spaces."""
    return " ".join(text.split())


def text_of(fields: Fields, column: str, clean: Callable[[str], str] = one_line) -> str:
    """A column's text; a list of texts is lines.

    Raises:
        KeyError: There is no such column.
        TypeError: It holds no text.
    """
    value = value_of(fields, column)
    lines = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(line, str) for line in lines):
        raise TypeError(f"{column} holds no text")
    return "\n".join(map(clean, lines))


def render(template: str, fields: Fields, clean: Callable[[str], str] = one_line) -> str:
    """Puts columns into a form, in one pass: braces in a column's text stay what they are; errors as `text_of`."""
    return _FIELD.sub(lambda match: text_of(fields, match[1], clean), template)
