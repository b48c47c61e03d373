"""Bars of what takes long, and a local pipeline run: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import threading
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipelines.progress import parse_line


class RateColumn(ProgressColumn):
    """Steps a second; empty while too few were seen."""

    def render(self, task: Task) -> Text:
        """A task's rate, such as `12.5/s`."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "")


def bars(console: Console, *, disable: bool = False) -> Progress:
    """Bars with rate, time taken and time left, that go when they are done; each task has `figures`, a text.

    Args:
        console: Where to.
        disable: Show nothing.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[figures]}"),
        console=console,
        transient=True,
        disable=disable,
    )


class RunDisplay:
    """Hears a run's steps (`pipelines.local.Observer`) and shows them; use as a context manager.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = bars(console)
        self._bars: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._stages: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> RunDisplay:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, task: str) -> None:
        """Adds a bar for the step."""
        with self._lock:
            self._bars[task] = self._progress.add_task(_short(task), total=None, figures="")
            self._began[task] = self._progress.get_time()

    def line(self, task: str, text: str) -> None:
        """Moves the step's bar, or prints what is no progress."""
        line = parse_line(text)
        if line is None:
            style = "red" if text.startswith("ERROR") else None
            self._console.print(f"  {text}", style=style, markup=False, soft_wrap=True, highlight=False)
            return
        self._labels[task] = line.label
        if self._stages.get(task) != line.stage:
            # A stage's rate says nothing of the next one's.
            self._stages[task] = line.stage
            self._progress.reset(self._bars[task])
        self._progress.update(
            self._bars[task],
            description=f"{line.label} {line.stage}",
            completed=line.step,
            total=line.total,
            figures=line.figures,
        )

    def ended(self, task: str, ok: bool) -> None:
        """Takes the bar away, and leaves a line."""
        with self._lock:
            self._progress.remove_task(self._bars.pop(task))
        elapsed = self._progress.get_time() - self._began[task]
        mark = "[green]done[/]" if ok else "[red]failed[/]"
        # What the step called itself says more than its number in the loop.
        name = f"{_step(task)} {self._labels[task]}" if task in self._labels else _short(task)
        self._console.print(f"{mark} {name} [dim]{elapsed:.1f} s[/]", highlight=False)


def _short(task: str) -> str:
    """A step's name and its number in its loop, such as `prepare[2]`."""
    *loops, _ = task.split("/")
    index = "".join(f"[{loop.rsplit('-', 1)[-1]}]" for loop in loops)
    return f"{_step(task)}{index}"


def _step(task: str) -> str:
    """A step's name, without the number that KFP gives a step that a pipeline has twice."""
    return re.sub(r"-\d+$", "", task.rsplit("/", 1)[-1])
