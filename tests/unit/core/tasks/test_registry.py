from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s.tasks import TASKS, get_task, register_task


def test_a_registered_task_is_found_by_its_name(make_task, monkeypatch):
    monkeypatch.setattr("w2s.tasks.registry.TASKS", {})
    task = register_task(make_task([], name="mine"))
    assert get_task("mine") is task
    with pytest.raises(ValueError, match="mine is registered already"):
        register_task(task)


def test_an_unknown_task_is_refused_with_those_there_are():
    with pytest.raises(InvalidArgument, match=", ".join(sorted(TASKS))):
        get_task("none")
