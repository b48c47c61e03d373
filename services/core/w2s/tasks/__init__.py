"""Tasks: labelled text as data, split so that no text is in two splits."""

from w2s.tasks.prepare import SplitSizes, prepare, write_splits
from w2s.tasks.registry import TASKS, get_task, register_task
from w2s.tasks.task import Row, Task

__all__ = [
    "TASKS",
    "Row",
    "SplitSizes",
    "Task",
    "get_task",
    "prepare",
    "register_task",
    "write_splits",
]
