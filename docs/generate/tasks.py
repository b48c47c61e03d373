"""The list of tasks, from their files."""

from __future__ import annotations

from w2s.tasks import list_tasks


def tasks_page() -> str:
    """Every task of the registry, as Markdown."""
    lines = ["# Tasks", "", "Generated from `services/core/w2s/tasks/catalog`: one file a task.", ""]
    lines += ["| task | what | kind | metric | source | licence |", "|---|---|---|---|---|---|"]
    for task in sorted(list_tasks(), key=lambda task: (task.family, task.name)):
        where = "offline" if task.source.offline else task.source.kind
        cells = (f"`{task.name}`", task.title, task.conversion.kind_of_task, task.metric, where, task.licence)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
