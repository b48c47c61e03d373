from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from w2s.tasks import Row
from w2s.tasks.balance import balance


@given(labels=st.lists(st.integers(0, 2), max_size=40))
def test_classes_that_occur_end_up_of_equal_size_in_their_order(labels):
    rows = [Row(str(i), "", None, label) for i, label in enumerate(labels)]
    kept = balance(rows, "salt")
    sizes = Counter(row.label for row in kept)
    assert set(sizes.values()) <= {min(Counter(labels).values(), default=0)}
    assert set(sizes) == set(labels)
    assert [row for row in rows if row in kept] == kept


def test_which_rows_are_kept_does_not_depend_on_their_order():
    rows = [Row(str(i), "", None, int(i > 5)) for i in range(40)]
    assert set(balance(rows, "a")) == set(balance(rows[::-1], "a")) != set(balance(rows, "b"))
