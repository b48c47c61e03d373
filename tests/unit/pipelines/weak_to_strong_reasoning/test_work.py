"""What a reasoning experiment does follows from its plan and from what was made before."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.plans import make_plan
from pipelines.weak_to_strong_reasoning import work
from pipelines.weak_to_strong_reasoning.outline import outline
from pipelines.weak_to_strong_reasoning.plan import Plan

DIGEST = "sha256:" + "0" * 64
ARMS = ("full_weak", "weak_only", "icl_only", "hybrid")


def ref(name):
    return {"uri": f"file:///s/{name}", "digest": DIGEST}


def plan(**changes):
    return make_plan(Plan, preset.load("weak-to-strong-reasoning", "tiny") | {"seeds": [3, 4], **changes})


def datasets(made):
    splits = ("weak_train", "transfer", "validation", "test")
    return {str(seed): {split: ref(f"{split}-{seed}") for split in splits} for seed in made.seeds}


def trained(items):
    """What the steps make of items: seeds have become doubles."""
    return [
        {
            "of": {**item["of"], "seed": float(item["of"]["seed"])},
            "status": "succeeded",
            "run": {"status": "succeeded", "run": "runs/1", "model": ref(item["item"])},
        }
        for item in items
    ]


def written(made, arms=ARMS):
    return [
        {
            "of": {"seed": float(seed)},
            "questions": ref(f"questions-{seed}"),
            "weak_solutions": ref(f"weak-{seed}"),
            "selected": {"datasets": {arm: ref(f"{arm}-{seed}") for arm in arms}},
        }
        for seed in made.seeds
    ]


def learned(item):
    return item["run"]["dataset"]["uri"].rpartition("/")[2]


def test_only_the_weak_model_and_the_ceiling_learn_ground_truth():
    made = plan(preference_objectives=["dpo", "orpo"])
    truths = work.list_truths(made, datasets(made))
    assert {item["item"]: learned(item) for item in truths} == {
        "weak:3": "weak_train-3",
        "ceiling:3": "transfer-3",
        "weak:4": "weak_train-4",
        "ceiling:4": "transfer-4",
    }
    students = work.list_learners(made, datasets(made), written(made))
    assert {learned(item).split("-")[0] for item in students} <= set(ARMS)


def test_the_strong_model_writes_as_it_is_and_the_weak_one_as_it_was_trained():
    made = plan()
    (item, _) = work.list_writers(made, datasets(made), trained(work.list_truths(made, datasets(made))))
    assert item["weak"]["teacher"]["model"]["model"]["uri"] == "file:///s/weak:3"
    assert item["strong"]["teacher"]["model"]["model"]["uri"] == made.models.strong.uri
    # Greedy: no temperature.
    assert "temperature" not in item["generation"]


def test_a_second_iteration_needs_models_of_either_side():
    once, twice = plan(stage_arms=["full_weak"]), plan(stage_arms=["full_weak"], stage_iterations=2)
    arms = [
        {item["of"]["method"] for item in work.list_learners(made, datasets(made), written(made))}
        for made in (once, twice)
    ]
    assert arms == [{"full_weak", "hybrid"}, {"full_weak", "hybrid", "weak_only", "icl_only"}]
    for made, expected in ((once, set()), (twice, {"weak_only", "icl_only"})):
        learners = trained(work.list_learners(made, datasets(made), written(made)))
        (item, _) = work.list_seconds(made, datasets(made), written(made), learners)
        assert set(item["again"]) == expected
        assert item["first"]["run"]["model"]["uri"] == "file:///s/hybrid:3"


def test_a_side_that_failed_leaves_the_first_iteration():
    made = plan(stage_iterations=2)
    learners = trained(work.list_learners(made, datasets(made), written(made)))
    for learner in learners:
        if learner["of"]["method"] == "icl_only":
            learner["status"] = "failed"
    assert all(not item["again"] for item in work.list_seconds(made, datasets(made), written(made), learners))


def test_an_arm_without_data_says_so():
    made = plan()
    items = work.list_learners(made, datasets(made), written(made, arms=["full_weak"]))
    missing = {item["item"]: item.get("missing") for item in items}
    assert missing["hybrid:3"] == work.NOTHING_AGREED
    assert missing["full_weak:3"] is None
    assert all(item["may_fail"] for item in items)


def contrasts(made, status="succeeded", **pairs):
    stage = {"status": status, "run": {"model": ref("stage-one")}, "reason": "diverged"}
    return [{"of": {"seed": float(seed)}, "stage": stage, "pairs": {"pairs": 0, **pairs}} for seed in made.seeds]


def test_preferences_begin_at_the_stage_one_model():
    made = plan(preference_objectives=["dpo", "orpo"], preference_learning_rate=0.002, preference_beta=0.3)
    items = work.list_preferences(made, datasets(made), contrasts(made, dataset=ref("pairs")))
    assert [item["item"] for item in items] == ["dpo:3", "dpo:4", "orpo:3", "orpo:4"]
    for item in items:
        assert item["run"]["model"]["base"]["uri"] == "file:///s/stage-one"
        assert learned(item) == "pairs"
        assert item["run"]["training"]["learning_rate"] == 0.002
        assert "missing" not in item
    assert items[0]["run"]["objective"] == {"dpo": {"beta": 0.3}}
    assert items[2]["run"]["objective"] == {"orpo": {"weight": made.preference.weight}}


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_no_pairs_or_no_model_is_no_preference(status):
    made = plan()
    items = work.list_preferences(made, datasets(made), contrasts(made, status))
    assert [item["missing"] for item in items] == [work.NO_PAIRS] * len(items)


def test_the_cost_of_a_second_iteration_is_counted():
    parts = {one.step for one in outline(plan(stage_iterations=2))} - {one.step for one in outline(plan())}
    assert parts == {"train weak_only", "train icl_only", "write again, and mark", "train hybrid_2"}
