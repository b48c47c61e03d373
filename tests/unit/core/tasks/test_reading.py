from __future__ import annotations

import pytest

from w2s.errors import DataLoss
from w2s.tasks import Task, read_task

PAIRED = {"text_pair": "{p}", "labels": {"no": ["False"], "yes": ["True"]}}


def test_rows_are_normalised_cut_and_labelled_by_the_order_of_the_classes(make_task):
    task = make_task([{"q": " a  b\n", "p": "one two three", "l": "True"}], {**PAIRED, "pair_words": 2})
    (row,) = read_task(task).items
    assert (row.text, row.text_pair, row.label) == ("a b", "one two", 1)


def test_rows_with_equal_texts_are_one_row_the_first_and_are_counted(make_task):
    rows = [{"q": q, "p": "p", "l": label} for q, label in (("a", "True"), ("a ", "False"), ("b", "False"))]
    reading = read_task(make_task(rows, PAIRED))
    assert [(row.text, row.label) for row in reading.items] == [("a", 1), ("b", 0)]
    assert len({row.id for row in reading.items}) == 2
    assert (reading.counts.read, reading.counts.duplicates, reading.counts.conflicts) == (3, 1, 0)


def test_rows_that_contradict_each_other_are_dropped_and_counted_where_the_task_says_so(make_task):
    rows = [{"q": q, "l": label} for q, label in (("a", 1), ("a", 0), ("b", 0), ("b", 0), ("a", 1))]
    reading = read_task(make_task(rows, {"conflicts": "drop"}))
    assert [(row.text, row.label) for row in reading.items] == [("b", 0)]
    assert (reading.counts.duplicates, reading.counts.conflicts) == (1, 3)


def test_only_rows_that_are_wanted_and_of_bearable_length_are_kept_and_the_others_counted(make_task):
    rows = [{"q": "a", "l": 0, "lang": "EN"}, {"q": "b", "l": 0, "lang": "ZH"}, {"q": "c" * 99, "l": 0, "lang": "EN"}]
    rows += [{"q": "d", "l": None, "lang": "EN"}, {"q": "past the limit", "l": 1, "lang": "EN"}]
    reading = read_task(make_task(rows, where={"lang": ["EN"]}, max_characters=50, max_rows=4))
    assert [row.text for row in reading.items] == ["a"]
    assert (reading.counts.read, reading.counts.left_out, reading.counts.too_long) == (4, 2, 1)


@pytest.mark.parametrize("long", ["q", "a", "b"])
def test_a_question_is_as_long_as_the_longest_of_its_texts(make_task, long):
    conversion = {"kind": "binary_choice", "text": "{q} {answer}", "options": ["a", "b"], "correct_is": "first"}
    row = {"q": "q", "a": "a", "b": "b"}
    task = make_task([row, {**row, long: "x" * 99}], max_characters=50)
    task = Task.model_validate({**task.model_dump(), "conversion": conversion})
    reading = read_task(task)
    assert (len(reading.items), reading.counts.too_long) == (1, 1)


@pytest.mark.parametrize(
    "line",
    ['{"p": "b", "l": "True"}', '{"q": "a", "p": "b", "l": "Maybe"}', "{", "[]", '{"q": 1, "p": "b", "l": "True"}'],
)
def test_a_damaged_line_is_data_loss_that_says_where(make_task, line):
    with pytest.raises(DataLoss, match="row 2"):
        read_task(make_task([{"q": "a", "p": "b", "l": "True"}, line], PAIRED))
