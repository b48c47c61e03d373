"""The tasks that ship, one file each in `catalog/FAMILY/`, and the place to add one."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from w2s.errors import InvalidArgument
from w2s.tasks.conversions import Kind
from w2s.tasks.task import Family, Task

TASKS: dict[str, Task] = {}

_CATALOG = Path(__file__).parent / "catalog"


def register_task(task: Task) -> Task:
    """Adds a task to the registry.

    Raises:
        ValueError: The name is taken.
    """
    if task.name in TASKS:
        raise ValueError(f"the task {task.name} is registered already")
    TASKS[task.name] = task
    return task


def load_task(path: Path) -> Task:
    """A task from its file, whose name is the task's and whose folder is its family.

    Raises:
        InvalidArgument: The file says something that no task has, or not all that a task needs.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        return Task.model_validate({**settings, "name": path.stem, "family": path.parent.name})
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InvalidArgument("task", f"{path.name} is no task: {error}") from error


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        InvalidArgument: There is none; the message lists those there are.
    """
    if name not in TASKS:
        raise InvalidArgument("task", f"{name!r} is unknown; there are {', '.join(sorted(TASKS))}")
    return TASKS[name]


def list_tasks(*, kind: Kind | None = None, family: Family | None = None, offline: bool | None = None) -> list[Task]:
    """The tasks by name.

    Args:
        kind: What their rows are; None for all.
        family: What they are about; None for all.
        offline: Whether their rows are there without a network; None for all.
    """
    return [
        task
        for _, task in sorted(TASKS.items())
        if kind in (None, task.kind) and family in (None, task.family) and offline in (None, task.offline)
    ]


for _path in sorted(_CATALOG.glob("*/*.toml")):
    register_task(load_task(_path))
