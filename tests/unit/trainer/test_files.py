from __future__ import annotations

import pytest
from helpers.run_inputs import Inputs

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA
from w2s.errors import AlreadyExists
from w2s_trainer.files import model_of
from w2s_trainer.spec import RunSpec


def test_a_model_is_of_the_spec_that_made_it(tmp_path):
    inputs = Inputs(tmp_path / "artifacts", tmp_path / "models")
    spec = RunSpec(model={"base": {"uri": "pkg://none/model"}}, dataset={"uri": "file:///data"})
    made = inputs.artifact_model("one", CLASSIFIER_SCHEMA, run=spec.model_dump(mode="json"))
    inputs.artifact_model("nobodys", CLASSIFIER_SCHEMA)

    assert model_of(inputs.store, "none", spec) is None
    assert model_of(inputs.store, "one", spec) == made
    other = spec.model_copy(update={"skip_unlabeled": True})
    for key, asked in (("one", other), ("nobodys", spec)):
        with pytest.raises(AlreadyExists, match=f"models/{key} was made by another spec"):
            model_of(inputs.store, key, asked)
