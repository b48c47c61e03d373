from __future__ import annotations

import pytest
from helpers.run_inputs import Inputs

from w2s.errors import InvalidArgument
from w2s.models.sources import ModelSources
from w2s_trainer.admission import Admission
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import RunSpec


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path / "artifacts", tmp_path / "models")


@pytest.fixture
def admission(inputs, tmp_path, monkeypatch):
    """Makes the admission of a server with such settings."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def make(**settings):
        sources = ModelSources(inputs.store, (str(inputs.models),), allow_hub=False)
        given = {"artifact_root": inputs.store.root, "database_url": f"sqlite:///{tmp_path}/runs.db"}
        return Admission(sources, TrainerSettings(**given, **settings, _cli_parse_args=[]))

    return make


@pytest.fixture
def spec(inputs):
    """Makes specs of a classifier of two classes, unless said otherwise."""
    base = inputs.model("bert")
    own = inputs.examples("own")

    def make(objective="cross_entropy", model=None, settings=None, **fields):
        refs = {"dataset": own, **fields}
        given = {"uri": base, **(model or {})}
        return RunSpec.model_validate(
            {
                "model": {"base": {"uri": given.pop("uri")}, "max_length": 64, **given},
                "objective": {objective: settings or {}},
                **refs,
            }
        )

    return make


@pytest.fixture
def refuses(admission):
    """Checks that a spec is refused by field, with some words."""

    def check(spec, field, words):
        with pytest.raises(InvalidArgument) as caught:
            admission().check_spec(spec)
        assert caught.value.field == field
        assert words in caught.value.problem

    return check
