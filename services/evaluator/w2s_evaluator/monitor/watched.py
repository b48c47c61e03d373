"""A student as the monitor has it in memory; the event loop alone changes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from w2s_evaluator.monitor.confidences import Growth, History
from w2s_evaluator.monitor.seen import SeenIds
from w2s_evaluator.monitor.spec import StudentSpec
from w2s_evaluator.monitor.window import Labelled, StudentWindow

# Labels that may wait, in seconds of the rate: they lag by no more while the supervisor keeps up.
_QUEUE_S = 30.0


@dataclass
class Counts:
    """What became of observations; those that were shed are accepted too."""

    accepted: int = 0
    duplicates: int = 0
    shed: int = 0
    refused: int = 0
    labelled: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Student:
    """A registered student.

    Attributes:
        number: Its key in the database.
        id: Its id; `students/<id>` is its name.
        spec: How it is watched.
        create_time: When it was registered, UTC.
    """

    number: int
    id: str
    spec: StudentSpec
    create_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"students/{self.id}"


@dataclass(eq=False)
class Watched:
    """All that is known of a student.

    Attributes:
        student: Who it is.
        counts: What became of its observations.
        history: Of all of them.
        seen: The ids of the last ones.
        window: Those that are labelled.
        waiting: When those that wait for their labels came, by number, in their order.
        waiting_since: When the oldest of them came, in seconds since 1970; None without one.
        last_event: When the last one came.
        next_number: That of the observation to come.
        work: Set while there may be something to label.
    """

    student: Student
    counts: Counts = field(default_factory=Counts)
    waiting: dict[int, float] = field(default_factory=dict)
    waiting_since: float | None = None
    last_event: float | None = None
    next_number: int = 1
    work: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        spec = self.student.spec
        self.history = History(len(spec.label_names), spec.window)
        self.seen = SeenIds(self.history.horizon)
        self.window = StudentWindow(spec.window)

    @property
    def room(self) -> int:
        """How many more observations may wait for their labels."""
        spec = self.student.spec
        most = min(spec.window.observations, max(1, int(spec.labels_per_second * _QUEUE_S)))
        return max(0, most - len(self.waiting))

    def grow(self, growth: Growth, now: float) -> None:
        """Takes new observations into its history."""
        self.history.take(growth, now)
        self.last_event = now

    def wait_for(self, arrivals: dict[int, float]) -> None:
        """Has observations wait for their labels, by number."""
        self.waiting |= arrivals
        self._changed()

    def settle(self, labelled: list[Labelled], failed: list[int]) -> int:
        """Takes labels into the window; observations wait no more.

        Returns:
            As `StudentWindow.append`.
        """
        for number in (*(one.number for one in labelled), *failed):
            self.waiting.pop(number, None)
        self.counts.labelled += len(labelled)
        self.counts.failed += len(failed)
        self._changed()
        return self.window.append(labelled)

    def _changed(self) -> None:
        self.waiting_since = next(iter(self.waiting.values()), None)
        (self.work.set if self.waiting else self.work.clear)()
