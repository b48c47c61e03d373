from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from w2s.tasks.text import Template, columns_of, render, text_of, value_of


@pytest.mark.parametrize(
    "template", ["{}", "{0}", "{a!r}", "{a:>9}", "{a.__class__.__init__}}", "{a[0]}", "{a", "a}", "{{a}}"]
)
def test_a_form_holds_the_names_of_columns_and_nothing_else(template):
    with pytest.raises(ValidationError, match="braces must hold the name of a column"):
        TypeAdapter(Template).validate_python(template)


def test_columns_are_put_in_once_and_on_one_line():
    fields = {"a": " x\n y ", "b.c": "{a}", "d": {"e": "z"}}
    assert columns_of("{a} {b.c} {d.e}") == ["a", "b.c", "d.e"]
    assert render("{a} {b.c} {d.e}", fields) == "x y {a} z"
    assert render("{a}", fields, str.strip) == "x\n y"


@given(value=st.text())
def test_what_a_column_says_is_never_a_form(value):
    assert render("<{a}>", {"a": value, "b": "secret"}, str) == f"<{value}>"


def test_a_list_of_texts_is_lines():
    assert text_of({"turns": ["W:  hello", "M: hi"]}, "turns") == "W: hello\nM: hi"


@pytest.mark.parametrize("value", [None, 1, [1], {"b": "c"}])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(TypeError, match="a holds no text"):
        text_of({"a": value}, "a")


def test_a_column_that_is_not_there_is_an_error():
    for column in ("b", "a.b"):
        with pytest.raises(KeyError):
            value_of({"a": {}}, column)
