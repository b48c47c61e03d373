from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s.tasks.origins import GeneratedOrigin
from w2s.tasks.sources.generators import generated_rows


def origin(**settings):
    return GeneratedOrigin.model_validate({"kind": "generated", "name": "arithmetic", "rows": 5, **settings})


def test_a_generator_gives_as_many_rows_as_are_asked_for_and_equal_ones_for_equal_seeds():
    first, again, other = (
        list(generated_rows(origin(seed=seed, settings={"difficulty": "easy"}))) for seed in (0, 0, 1)
    )
    assert len(first) == 5
    assert first == again != other


@pytest.mark.parametrize("settings", [{"name": "os"}, {"settings": {"difficulty": "none"}}])
def test_a_generator_that_is_not_there_is_refused(settings):
    with pytest.raises(InvalidArgument):
        generated_rows(origin(**settings))
