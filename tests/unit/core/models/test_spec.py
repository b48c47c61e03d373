from __future__ import annotations

import pytest
from pydantic import ValidationError

from w2s.models.spec import BaseRef, ModelSpec


@pytest.mark.parametrize(
    ("uri", "revision"), [("hf://org/name", ""), ("pkg://a/b", "main"), ("file:///a", "main"), ("s3://a/b", "main")]
)
def test_a_revision_goes_with_the_hub_and_with_nothing_else(uri, revision):
    with pytest.raises(ValidationError, match="revision is required with hf://"):
        BaseRef(uri=uri, revision=revision)


@pytest.mark.parametrize("fields", [{"uri": ""}, {"uri": "a", "digest": "abc"}, {"uri": "hf://a", "revision": "a b"}])
def test_malformed_references_are_refused(fields):
    with pytest.raises(ValidationError):
        BaseRef(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"layers": -1}, {"layers": 2, "train_from_layer": 3}, {"max_length": 0}, {"train_from_layer": -1}, {"depth": 1}],
)
def test_settings_out_of_range_or_unknown_are_refused(fields):
    with pytest.raises(ValidationError):
        ModelSpec(base=BaseRef(uri="pkg://a/b"), **fields)
