from __future__ import annotations

import pytest

from w2s.errors import FailedPrecondition
from w2s_trainer.worker.order import read_order


def test_an_order_stands_until_another_of_its_attempt_or_a_later_one(workspace, order):
    assert read_order(workspace) is None
    for launch, attempt in (("a", 1), ("b", 1), ("c", 3), ("d", 3)):
        given = order("steps", launch, attempt)
        given.give(workspace)
        assert read_order(workspace) == given
    for attempt in (1, 2):
        with pytest.raises(FailedPrecondition, match="attempt 3 of the run has begun elsewhere"):
            order("steps", "late", attempt).give(workspace)
    assert read_order(workspace) == given
    # A run that was deleted counts from 1 again.
    workspace.clear()
    order("steps", "new").give(workspace)
    assert read_order(workspace).launch == "new"
