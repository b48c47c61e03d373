from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s_trainer.stages.supervised import read

IDS = [str(n) for n in range(20)]


@pytest.fixture
def data(inputs):
    """Datasets of a kind, by key."""

    def make(kind, key, **columns):
        return read(inputs.store, getattr(inputs, kind)(key, **columns))

    return make


@pytest.fixture
def pairs(inputs):
    """Pairs of the given prompts and completions, with ids from 0."""
    from w2s.artifacts.schemas import PAIRS_SCHEMA
    from w2s.artifacts.tables import write_pairs

    def make(key, rows):
        columns = [
            {"id": f"{key}-{n}", "prompt": p, "first": a, "second": b, "label": 0} for n, (p, a, b) in enumerate(rows)
        ]
        config = {"label_names": ["first", "second"]}
        with inputs.store.write("datasets", key, data_schema=PAIRS_SCHEMA, config=config) as draft:
            write_pairs(draft.path, columns)
        return read(inputs.store, draft.ref)

    return make


@pytest.mark.parametrize("kind", ["examples", "pairs", "completions"])
def test_a_split_is_of_all_and_by_ids(data, kind):
    found = data(kind, f"split-{kind}", ids=IDS)
    trained, held = found.split(0.25, 0)
    assert (len(trained.table), len(held.table)) == (15, 5)
    assert {*trained.table.ids, *held.table.ids} == set(IDS)
    if trained.targets is not None:
        assert (len(trained.targets), len(held.targets), len(held.truth)) == (15, 5, 5)
    # Neither the order nor what else a row says decides.
    again = data(kind, f"split-{kind}-reversed", ids=IDS[::-1]).split(0.25, 0)[1]
    assert sorted(again.table.ids) == sorted(held.table.ids)
    assert found.split(0.25, 1)[1].table.ids != held.table.ids


def test_what_reads_alike_is_on_one_side(pairs):
    rows = [(f"prompt {n}", " a", " b") for n in range(20)]
    found = pairs("alike", rows + [(prompt, second, first) for prompt, first, second in rows])
    trained, held = found.split(0.25, 0)
    assert (len(trained.table), len(held.table)) == (30, 10)
    assert set(trained.table.prompts).isdisjoint(held.table.prompts)


def test_a_dataset_of_one_text_has_none_to_hold_out(pairs):
    with pytest.raises(InvalidArgument, match="there is 1"):
        pairs("one-text", [("prompt", " a", " b")] * 3).split(0.5, 0)


def test_apart_from_another_is_what_reads_otherwise(pairs):
    held = pairs("held", [("red", " a", " b"), ("blue", " a", " b")])
    mixed = pairs("mixed", [("blue", " b", " a"), ("blue", " a", " c"), ("teal", " a", " b")])
    found = mixed.apart_from(held)
    assert found.table.ids == ["mixed-1", "mixed-2"]
    assert len(found.targets) == 2


def test_identity_is_of_examples_and_of_what_is_learnt(inputs):
    ref = inputs.examples("identified", ids=IDS)
    weak, other = (inputs.labels(f"identified-{n}", ids=IDS, p=p) for n, p in enumerate([(0.25, 0.75), (0.5, 0.5)]))
    whole = read(inputs.store, ref, weak)
    same = read(inputs.store, ref, weak)
    assert whole.identity == same.identity
    unlike = [
        read(inputs.store, ref, other),
        read(inputs.store, ref),
        whole.subset(list(range(10))),
        # As many as the one before.
        whole.subset(list(range(10, 20))),
    ]
    assert len({data.identity for data in (whole, *unlike)}) == 5
