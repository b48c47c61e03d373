from __future__ import annotations

import pytest

from w2s.metrics import Direction, direction_of


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("accuracy", Direction.HIGHER),
        ("nll", Direction.LOWER),
        ("ece", Direction.LOWER),
        ("toxicity_probability", Direction.LOWER),
        ("pass@8", Direction.HIGHER),
    ],
)
def test_says_which_way_is_better(metric, direction):
    assert direction_of(metric) is direction


def test_an_unknown_metric_has_no_direction():
    with pytest.raises(KeyError):
        direction_of("perplexity")
