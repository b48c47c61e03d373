from __future__ import annotations

from w2s.metrics import Direction, Estimate
from w2s_evaluator.evaluations.slices import by_slice


def figures(rows):
    return {name: Estimate(float(rows.sum()), len(rows), None, None) for name in ("accuracy", "nll")}


def test_all_rows_come_first_then_slices_by_name():
    found = by_slice(["b", None, "a", "b"], 4, figures)
    assert [(m.name, m.slice, m.estimate.value, m.estimate.n) for m in found] == [
        ("accuracy", "", 6, 4),
        ("nll", "", 6, 4),
        ("accuracy", "a", 2, 1),
        ("nll", "a", 2, 1),
        ("accuracy", "b", 3, 2),
        ("nll", "b", 3, 2),
    ]
    assert [m.direction for m in found[:2]] == [Direction.HIGHER, Direction.LOWER]


def test_without_slices_there_is_the_whole_alone():
    assert [m.slice for m in by_slice(None, 3, figures)] == ["", ""]
