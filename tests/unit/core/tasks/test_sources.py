from __future__ import annotations

import pytest

from w2s.errors import DataLoss, FailedPrecondition, InvalidArgument
from w2s.tasks.sources import read_rows

LABELLED = {"text_pair": "p", "label": "l", "label_values": ("False", "True")}


def test_rows_are_normalised_cut_and_labelled_by_the_order_of_the_values(make_task):
    task = make_task([{"q": " a  b\n", "p": "one two three", "l": "True"}], **LABELLED, pair_words=2)
    (row,) = read_rows(task)
    assert (row.text, row.text_pair, row.label) == ("a b", "one two", 1)


def test_rows_with_equal_texts_are_one_row_the_first(make_task):
    rows = [{"q": q, "p": "p", "l": label} for q, label in (("a", "True"), ("a ", "False"), ("b", "False"))]
    found = read_rows(make_task(rows, **LABELLED))
    assert [(row.text, row.label) for row in found] == [("a", 1), ("b", 0)]
    assert len({row.id for row in found}) == 2


def test_relevance_keeps_one_row_for_each_second_text(make_task):
    rows = [{"q": "a", "p": "same"}, {"q": "b", "p": "same"}, {"q": "a", "p": "other"}]
    found = read_rows(make_task(rows, text_pair="p", conversion="relevance"))
    assert [(row.texts, row.label) for row in found] == [(("a", "same"), 1), (("a", "other"), 1)]


@pytest.mark.parametrize(
    "line",
    ['{"p": "b", "l": "True"}', '{"q": "a", "p": "b", "l": "Maybe"}', "{", "[]", '{"q": 1, "p": "b", "l": "True"}'],
)
def test_a_damaged_line_is_data_loss_that_says_where(make_task, line):
    with pytest.raises(DataLoss, match=r"rows\.jsonl, line 2"):
        read_rows(make_task([{"q": "a", "p": "b", "l": "True"}, line], **LABELLED))


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("pkg://tinydata/none.jsonl", FailedPrecondition),
        ("pkg://os/path.py", InvalidArgument),
        ("file:///etc/passwd", InvalidArgument),
        ("pkg://tinydata/../x", InvalidArgument),
    ],
)
def test_a_source_is_a_file_in_a_package_that_is_allowed(make_task, source, error):
    with pytest.raises(error):
        read_rows(make_task([], source=source))
