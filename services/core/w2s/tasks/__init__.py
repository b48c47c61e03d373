"""Tasks: text as data, split so that no text is in two splits."""

from w2s.tasks.prepare import SplitSizes, prepare, write_splits
from w2s.tasks.reading import read_task
from w2s.tasks.registry import TASKS, get_task, list_tasks, load_task, register_task
from w2s.tasks.rows import Completion, Pair, Row
from w2s.tasks.task import Task

__all__ = [
    "TASKS",
    "Completion",
    "Pair",
    "Row",
    "SplitSizes",
    "Task",
    "get_task",
    "list_tasks",
    "load_task",
    "prepare",
    "read_task",
    "register_task",
    "write_splits",
]
