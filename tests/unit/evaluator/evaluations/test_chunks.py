from __future__ import annotations

import pyarrow as pa
import pytest

from w2s.errors import Cancelled
from w2s_evaluator.evaluations.chunks import work_off


class Squares:
    """Squares of row numbers, 4 at a time."""

    stage = "square"
    chunk_rows = 4

    def __init__(self):
        self.made = []

    def chunk(self, rows, tick):
        self.made.append(rows)
        tick(1, 2)
        return pa.table({"square": [row * row for row in rows]})


@pytest.fixture
def workspace(store):
    return store.workspace("predictions", "a")


def test_all_rows_come_in_order_however_they_are_cut(workspace):
    work, ticks = Squares(), []
    table = work_off(work, 10, workspace, {"seed": 0}, ticks.append)
    assert table["square"].to_pylist() == [n * n for n in range(10)]
    assert work.made == [range(4), range(4, 8), range(8, 10)]
    assert ticks == [2, 4, 6, 8, 9, 10]


def test_what_an_earlier_attempt_did_is_not_done_again(workspace):
    def stop(done):
        if done > 4:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        work_off(Squares(), 10, workspace, {"seed": 0}, stop)
    work = Squares()
    table = work_off(work, 10, workspace, {"seed": 0}, lambda done: None)
    assert work.made == [range(4, 8), range(8, 10)]
    assert table["square"].to_pylist() == [n * n for n in range(10)]


def test_chunks_of_other_work_or_of_other_rows_are_not_taken(workspace):
    work_off(Squares(), 10, workspace, {"seed": 0}, lambda done: None)
    other, longer = Squares(), Squares()
    work_off(other, 10, workspace, {"seed": 1}, lambda done: None)
    work_off(longer, 12, workspace, {"seed": 0}, lambda done: None)
    assert (len(other.made), longer.made) == (3, [range(8, 12)])
