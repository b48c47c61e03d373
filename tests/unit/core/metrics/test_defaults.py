from __future__ import annotations

import inspect

import pytest

from w2s import metrics

DEFAULTS = {"level": 0.95, "replicates": 2000, "seed": 0, "minimum": 20, "same_model": False}


@pytest.mark.parametrize("name", [name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))])
def test_what_figures_take_for_granted_is_the_same_everywhere(name):
    found = {
        parameter.name: parameter.default
        for parameter in inspect.signature(getattr(metrics, name)).parameters.values()
        if parameter.name in DEFAULTS and parameter.default is not parameter.empty
    }
    assert found == {key: DEFAULTS[key] for key in found}
