"""Plans and results to test with."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.beyond_accuracy import work
from pipelines.beyond_accuracy.plan import Plan
from pipelines.plans import make_plan

DIGEST = "sha256:" + "0" * 64


def ref(name):
    return {"uri": f"file:///s/{name}", "digest": DIGEST}


@pytest.fixture
def plan():
    """Makes a plan of the tiny settings, with changes."""

    def make(**changes):
        return make_plan(Plan, preset.load("beyond-accuracy", "tiny") | changes)

    return make


@pytest.fixture
def datasets():
    """Those of any plan: references that say what they are of."""

    def make(plan):
        return {
            part: {
                str(seed): {
                    split: ref(f"{part}/{split}-{seed}") for split in ("weak_train", "transfer", "validation", "test")
                }
                for seed in plan.seeds_of(part)
            }
            for part in plan.parts
        }

    return make


@pytest.fixture
def trained():
    """What the steps make of items: each run has a model of its own, and seeds have become doubles."""

    def make(items):
        return [
            {
                "of": {**item["of"], "seed": float(item["of"]["seed"])},
                "status": "succeeded",
                "run": {"status": "succeeded", "run": f"runs/{n}", "model": ref(item["item"])},
                "evaluation": {"predictions": ref(f"predictions/{item['item']}")},
            }
            for n, item in enumerate(items)
        ]

    return make


@pytest.fixture
def arms(datasets, trained):
    """The supervisions of a plan, done."""

    def make(plan):
        listed = work.list_arms(plan, datasets(plan), trained(work.list_truths(plan, datasets(plan))))
        made = []
        for arm in listed:
            wrote = bool(arm["generation"])
            labelled = {"labels": ref(f"labels/{arm['item']}"), "label_evaluation": {"accuracy": 0.75}}
            made.append(
                {
                    "of": {**arm["of"], "seed": float(arm["of"]["seed"])},
                    "teacher": {"teacher": f"teachers/{arm['teacher_id']}", "digest": DIGEST},
                    **({"completions": ref(f"completions/{arm['item']}"), "empty": 2.0} if wrote else labelled),
                }
            )
        return made

    return make
