from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.delta_theory.plan import Plan
from pipelines.delta_theory.report import document
from pipelines.delta_theory.simulate import simulate
from pipelines.plans import make_plan
from w2s.errors import InvalidArgument

SMALL = preset.load("delta-theory", "tiny") | {"space_dimensions": 40, "space_inputs": 20_000, "seeds": [0]}


def test_the_report_shows_both_regimes_against_theory():
    plan = make_plan(Plan, SMALL)
    found = document(plan, simulate(plan))
    assert found.figures["largest_distance_to_theory"] < 0.01
    # Deltas help where the chosen teacher is better, in both regimes; fine-tuning only where errors are independent.
    assert (found.figures["preferences_help"], found.figures["tuning_helps"]) == (6, 5)
    assert [row[0] for row in found.summary.rows] == [0.0] * 5 + [0.9] * 5
    assert [row[5] is None for row in found.summary.rows] == [False] * 5 + [True] * 5


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"space_inputs": 100}, "space", "200 a dimension"),
        ({"teachers_cosines": [[0.8, 1.0, 0.2]]}, "teachers_cosines", "three cosines"),
        ({"teachers_shared": [1.0]}, "teachers_shared", "in \\[0, 1\\)"),
    ],
)
def test_wrong_settings_are_named(changes, field, problem):
    with pytest.raises(InvalidArgument, match=problem) as error:
        make_plan(Plan, SMALL | changes)
    assert error.value.field == field
