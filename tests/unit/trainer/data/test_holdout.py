from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.errors import InvalidArgument
from w2s_trainer.data import holdout

IDS = [f"example {number}" for number in range(100)]


@pytest.mark.parametrize(("rows", "fraction", "held"), [(100, 0.1, 10), (30, 0.25, 8), (3, 0.01, 1), (2, 0.9, 1)])
def test_as_many_are_held_out_as_asked_but_neither_none_nor_all(rows, fraction, held):
    trained, kept = holdout(IDS[:rows], fraction, seed=0)
    assert len(kept) == held
    assert sorted([*trained, *kept]) == list(range(rows))
    assert trained == sorted(trained)
    assert kept == sorted(kept)


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_examples_does_not_matter(seed):
    shuffled = random.Random(seed).sample(IDS, len(IDS))
    expected = {IDS[row] for row in holdout(IDS, 0.2, seed)[1]}
    assert {shuffled[row] for row in holdout(shuffled, 0.2, seed)[1]} == expected


def test_another_seed_holds_out_others():
    assert holdout(IDS, 0.2, seed=1) != holdout(IDS, 0.2, seed=2)
    assert holdout(IDS, 0.2, seed=1) == holdout(IDS, 0.2, seed=1)


@pytest.mark.parametrize("ids", [[], ["one"]])
def test_of_fewer_than_two_none_is_held_out(ids):
    with pytest.raises(InvalidArgument, match="2 examples"):
        holdout(ids, 0.1, seed=0)
