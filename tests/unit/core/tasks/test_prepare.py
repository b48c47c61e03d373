from __future__ import annotations

import sys
from collections import Counter

import pytest

from w2s.artifacts.tables import read_dataset
from w2s.errors import DataLoss
from w2s.tasks import TASKS, Row, SplitSizes, prepare, write_splits
from w2s.tasks.prepare import relevance_pairs
from w2s.tasks.split import shared_texts

SIZES = SplitSizes(weak_train=8, transfer=8, validation=4, test=6)


@pytest.fixture
def task(make_task):
    return make_task([{"q": f"q {i}", "l": i % 2} for i in range(40)], label="l", label_values=(0, 1))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_shipped_tasks_give_balanced_splits_that_share_no_text(name):
    sizes = SplitSizes(weak_train=300, transfer=300, validation=100, test=200)
    splits = prepare(TASKS[name], sizes, seed=0)
    for part, rows in splits.items():
        wanted = getattr(sizes, part)
        # Splitting by texts drops rows; whole components may add a few.
        assert 0.6 * wanted < len(rows) < 1.1 * wanted
        assert len({row.id for row in rows}) == len(rows)
        assert 0.35 < sum(row.label for row in rows) / len(rows) < 0.65
    assert shared_texts(splits) == set()


def test_seeds_share_the_test_split_and_differ_in_the_rest(task):
    first, second = prepare(task, SIZES, seed=0), prepare(task, SIZES, seed=1)
    assert first["test"] == second["test"]
    assert first["weak_train"] != second["weak_train"]
    assert prepare(task, SIZES, seed=0) == first


def test_no_seed_trains_on_a_test_row(task):
    held_out = {row.text for row in prepare(task, SIZES, seed=0)["test"]}
    for seed in range(5):
        splits = prepare(task, SIZES, seed)
        assert not held_out & {row.text for name in ("weak_train", "transfer", "validation") for row in splits[name]}


def test_a_split_that_shares_a_text_is_data_loss(task, monkeypatch):
    leak = Row("1", "leaked", None, 0)
    monkeypatch.setattr(
        sys.modules[prepare.__module__], "split_components", lambda *_: {"test": [leak], "transfer": [leak]}
    )
    with pytest.raises(DataLoss, match="1 texts of tiny are in two splits, such as 'leaked'"):
        prepare(task, SIZES, seed=0)


def test_relevance_pairs_draw_the_most_similar_other_text_as_the_negative():
    passages = ["cats purr softly", "cats purr loudly", "bonds yield interest", "bonds yield coupons"]
    nearest = dict(zip(passages, [passages[i] for i in (1, 0, 3, 2)], strict=True))
    rows = [Row(str(i), f"question {i}", passage, 1) for i, passage in enumerate(passages)]
    seen = Counter()
    for salt in map(str, range(20)):
        for before, after in zip(rows, relevance_pairs(rows, salt), strict=True):
            seen[after.label] += 1
            assert after.text == before.text
            assert after.text_pair == (before.text_pair if after.label else nearest[before.text_pair])
    # 80 fair coins: 40 +- 4 standard deviations
    assert 22 <= seen[0] <= 58


def test_splits_are_written_once_with_what_made_them(store, task):
    refs = write_splits(store, task, SIZES, 3, "tiny-3")
    assert {name: ref.uri.rpartition("/")[2] for name, ref in refs.items()} == {
        "weak_train": "tiny-3-weak-train",
        "transfer": "tiny-3-transfer",
        "validation": "tiny-3-validation",
        "test": "tiny-3-test",
    }
    dataset = read_dataset(store, refs["weak_train"])
    assert dataset.texts == [row.text for row in prepare(task, SIZES, 3)["weak_train"]]
    assert (dataset.label_names, dataset.manifest.seed) == (["no", "yes"], 3)
    assert dataset.manifest.config["split"] == "weak_train"
    created = {name: store.manifest(ref.uri).create_time for name, ref in refs.items()}
    assert write_splits(store, task, SIZES, 3, "tiny-3") == refs
    assert {name: store.manifest(ref.uri).create_time for name, ref in refs.items()} == created


@pytest.mark.parametrize("left", ["weak-train", "test"])
def test_splits_that_an_earlier_attempt_wrote_are_kept(store, task, tmp_path, left):
    refs = write_splits(store, task, SIZES, 0, "tiny")
    for ref in refs.values():
        if not ref.uri.endswith(left):
            (tmp_path / "artifacts" / "datasets" / ref.uri.rpartition("/")[2] / "manifest.json").unlink()
            (tmp_path / "artifacts" / "datasets" / ref.uri.rpartition("/")[2] / "examples.parquet").unlink()
    assert write_splits(store, task, SIZES, 0, "tiny") == refs


def test_equal_seeds_write_equal_content(store, task):
    first, again = write_splits(store, task, SIZES, 0, "a"), write_splits(store, task, SIZES, 0, "b")
    assert {name: ref.digest for name, ref in first.items()} == {name: ref.digest for name, ref in again.items()}
