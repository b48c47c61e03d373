"""What the monitor says of students, computed no more often than it is worth."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from w2s_evaluator.monitor.figures import Figures, figures_of
from w2s_evaluator.monitor.observation import current_seconds
from w2s_evaluator.monitor.watched import Student, Watched


@dataclass(frozen=True)
class Report:
    """What a student's window says.

    Attributes:
        student: The student.
        figures: Beside each teacher version, the newest first.
        drift: Of its confidence; None before there is enough.
        waiting: Observations that wait for the teacher.
        latest: When the newest observation of the window was made, in seconds since 1970; None in an empty one.
        time: When this was computed.
    """

    student: Student
    figures: list[Figures]
    drift: float | None
    waiting: int
    latest: float | None
    time: float


def report_of(watched: Watched) -> Report:
    """A student's report as of now; safe to ask from any thread."""
    now = current_seconds()
    rows, versions = watched.window.rows(now)
    return Report(
        student=watched.student,
        figures=figures_of(rows, versions, watched.student.spec, now),
        drift=watched.history.drift(now),
        waiting=len(watched.waiting),
        latest=float(rows["time"].max()) if len(rows) else None,
        time=now,
    )


class RecentReports:
    """Reports that may be a little old: many scrapes cost what one does.

    Args:
        age_s: Seconds at most.
    """

    def __init__(self, age_s: float) -> None:
        self._age_s = age_s
        self._reports: WeakKeyDictionary[Watched, Report] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, watched: Watched) -> Report:
        """A student's report; safe to ask from any thread."""
        with self._lock:
            found = self._reports.get(watched)
            if found is None or current_seconds() - found.time > self._age_s:
                self._reports[watched] = found = report_of(watched)
            return found
