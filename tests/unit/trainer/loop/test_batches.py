from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_trainer.loop.batches import Cutter
from w2s_trainer.loop.cuts import cheapest_cut

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=9)


def cost(groups, budget):
    return sum(max(group) * len(group) + budget / 16 for group in groups)


def all_cuts(rows):
    """Every way to cut a list into runs."""
    for gaps in range(1 << (len(rows) - 1)):
        places = [0, *[at + 1 for at in range(len(rows) - 1) if gaps >> at & 1], len(rows)]
        yield [rows[low:high] for low, high in pairwise(places)]


@given(LENGTHS, st.integers(1, 200))
def test_a_cut_has_all_rows_within_the_budget_and_none_costs_less(lengths, budget):
    cut = cheapest_cut(lengths, budget)
    assert sorted(index for group in cut for index in group) == list(range(len(lengths)))
    groups = [[lengths[index] for index in group] for group in cut]
    fits = [group for group in groups if len(group) == 1 or max(group) * len(group) <= budget]
    assert fits == groups
    # Runs of the sorted lengths are enough: a swap of two rows between groups never makes the longest ones shorter.
    allowed = (
        other for other in all_cuts(sorted(lengths, reverse=True))
        if all(len(group) == 1 or max(group) * len(group) <= budget for group in other)
    )  # fmt: skip
    assert cost(groups, budget) == pytest.approx(min(cost(other, budget) for other in allowed))


def test_the_longest_rows_come_first_and_equal_ones_in_their_order():
    assert cheapest_cut([3, 9, 3, 50, 9], 64) == [[3], [1, 4], [0, 2]]
    assert cheapest_cut([], 64) == []


class Lengths:
    sequences = 1

    def __init__(self, lengths):
        self.lengths = lengths


def test_only_a_batch_that_would_be_computed_twice_stays_whole_where_it_fits():
    examples, rows = Lengths([100, 10, 10, 10]), [0, 1, 2, 3]
    assert Cutter(examples, 400).cut(rows) == [[0], [1, 2, 3]]
    assert Cutter(examples, 400, whole=True).cut(rows) == [rows]
    assert Cutter(examples, 399, whole=True).cut(rows) == [[0], [1, 2, 3]]
    # Several processes exchange outputs, and compute twice however it is cut.
    assert Cutter(examples, 400, world=2, whole=True).cut(rows) == [[0], [1, 2, 3]]
