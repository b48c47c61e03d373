"""Presets are whole, valid, and changed by name."""

from __future__ import annotations

import pytest

from pipelines.catalog import PIPELINES
from pipelines.plans import make_plan, settings_of
from pipelines.preset import PRESETS, load, override
from w2s.errors import InvalidArgument


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_preset_is_a_plan_and_says_everything(pipeline, name):
    settings = load(pipeline, name)
    assert set(settings_of(make_plan(PIPELINES[pipeline].plan, settings))) == set(settings)


def test_an_unknown_preset_is_refused():
    with pytest.raises(InvalidArgument, match="must be one of tiny, small, paper, got 'huge'"):
        load("weak-to-strong", "huge")


def test_changes_are_yaml(settings):
    changed = override(settings, ["seeds=[7, 8]", "train_learning_rate=1e-4", "nonce=again"])
    assert (changed["seeds"], changed["nonce"]) == ([7, 8], "again")
    assert make_plan(PIPELINES["weak-to-strong"].plan, changed).train.learning_rate == 1e-4
    assert settings["seeds"] == [0, 1, 2]


@pytest.mark.parametrize(("change", "name"), [("seeds", "set"), ("tusk=boolq", "tusk"), ("methods=[naive", "methods")])
def test_a_change_that_is_none_is_named(settings, change, name):
    with pytest.raises(InvalidArgument) as error:
        override(settings, [change])
    assert error.value.field == name
