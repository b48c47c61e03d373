from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.errors import FailedPrecondition
from w2s.tasks import Row
from w2s.tasks.split import shared_texts, split_components, split_texts

# Few texts, so that rows share them, and spellings that are the same text.
TEXTS = st.sampled_from(["a", "A ", "b", "c c", "C  c", "d", "e", "f", "g", "h"])
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=40, unique=True).map(
    lambda pairs: [Row(f"{a}|{b}", a, b, 0) for a, b in pairs]
)
SPLITS = pytest.mark.parametrize("split", [split_components, split_texts])


def salts(seed: int) -> dict[str, str]:
    return {"test": "test", "train": f"train/{seed}", "validation": f"validation/{seed}"}


def distinct(n: int) -> list[Row]:
    return [Row(f"id{i}", f"text {i}", None, i % 2) for i in range(n)]


@SPLITS
@given(rows=ROWS, seed=st.integers(0, 9))
def test_no_text_is_in_two_splits(split, rows, seed):
    try:
        splits = split(rows, {"test": 2, "train": 3, "validation": 1}, salts(seed))
    except FailedPrecondition:
        return
    homes: dict[str, set[str]] = {}
    for name, part in splits.items():
        for row in part:
            for text in row.texts:
                homes.setdefault("".join(text.lower().split()), set()).add(name)
    assert all(len(names) == 1 for names in homes.values())
    assert shared_texts(splits) == set()


@SPLITS
def test_the_test_split_is_the_same_for_every_seed_and_the_others_are_not(split):
    sizes = {"test": 30, "train": 30, "validation": 10}
    parts = [split(distinct(200), sizes, salts(seed)) for seed in range(3)]
    assert parts[0]["test"] == parts[1]["test"] == parts[2]["test"]
    assert parts[0]["train"] != parts[1]["train"] != parts[2]["train"]


@SPLITS
def test_a_split_does_not_depend_on_the_order_of_the_source(split):
    sizes = {"test": 30, "train": 30, "validation": 10}
    forward, backward = (split(rows, sizes, salts(0)) for rows in (distinct(200), distinct(200)[::-1]))
    assert {name: {row.id for row in part} for name, part in forward.items()} == {
        name: {row.id for row in part} for name, part in backward.items()
    }


def test_components_fill_the_sizes_asked_for_with_distinct_rows():
    splits = split_components(distinct(60), {"test": 30, "train": 20, "validation": 10}, salts(0))
    assert [len(part) for part in splits.values()] == [30, 20, 10]
    assert len({row.id for part in splits.values() for row in part}) == 60


def test_components_are_never_cut():
    # a-b, b-c and c-d hang together through b and c; x-y stands alone.
    chain = [Row(pair, pair[0], pair[1], 0) for pair in ("ab", "bc", "cd")]
    splits = split_components([*chain, Row("xy", "x", "y", 0)], {"test": 1, "train": 1}, {"test": "0", "train": "1"})
    assert {frozenset(row.id for row in part) for part in splits.values()} == {
        frozenset({"ab", "bc", "cd"}),
        frozenset({"xy"}),
    }


def test_components_say_which_split_wants_too_many_rows():
    with pytest.raises(FailedPrecondition, match="the split train wants 8 rows and only 5 are left"):
        split_components(distinct(10), {"test": 5, "train": 8}, salts(0))


def test_texts_cut_each_split_to_its_size_and_share_texts_by_it():
    splits = split_texts(distinct(3000), {"test": 1000, "train": 2000, "validation": 0}, salts(0))
    # Each of 3000 texts is in the test split with probability 1/3: 1000 +- 4 x 25.8, cut at 1000.
    assert 896 <= len(splits["test"]) <= 1000
    assert 1896 <= len(splits["train"]) <= 2000
    assert splits["validation"] == []


@pytest.mark.parametrize(("rows", "problem"), [([], "no rows"), (distinct(1), "ask for fewer splits")])
def test_texts_refuse_to_leave_a_split_empty(rows, problem):
    with pytest.raises(FailedPrecondition, match=problem):
        split_texts(rows, {"test": 5, "train": 5}, salts(0))


def test_shared_texts_ignore_case_and_spacing():
    splits = {"test": [Row("1", "Same  text", "x", 0)], "train": [Row("2", "y", "same text ", 0)]}
    assert shared_texts(splits) == {"same text"}
