"""The labelled observations that a student's figures are of: the last ones, up to a count and an age."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s_evaluator.monitor.spec import WindowSpec

# What is kept of an observation: nothing that grows with its text or the number of classes.
# What it says of the truth is NaN or -1 until the truth is known.
ROW = np.dtype(
    [
        ("number", np.int64),
        ("time", np.float64),
        ("version", np.int32),
        ("student", np.int32),  # The predicted class, and its probability.
        ("student_confidence", np.float64),
        ("teacher", np.int32),
        ("teacher_confidence", np.float64),
        ("no_conflict", np.int32),  # -1 without that teacher.
        ("truth", np.int32),
        ("teacher_on_truth", np.float64),
        ("ceiling_on_truth", np.float64),  # NaN without a ceiling, too.
    ]
)
Rows = NDArray[np.void]
# Teachers in a window at most; the rows of older ones leave it.
MAX_TEACHERS = 8
_GONE = -1


@dataclass(frozen=True)
class Version:
    """One version of a teacher.

    Attributes:
        teacher: Its name, `teachers/{teacher}`.
        revision: Where its weights came from.
        digest: That of its model.
    """

    teacher: str
    revision: str
    digest: str

    @property
    def id(self) -> str:
        """The teacher's id."""
        return self.teacher.removeprefix("teachers/")


@dataclass(frozen=True)
class Labelled:
    """An observation with its labels.

    Attributes:
        number: Grows from observation to observation of a student.
        time: When the student answered, in seconds since 1970.
        version: The teacher that labelled it.
        student: The student's probabilities, shape [C].
        teacher: The teacher's, shape [C].
        ceiling: The ceiling's, shape [C]; None without.
        no_conflict: Those of the student without conflict, shape [C]; None without.
        truth: The true class; None while it is not known.
    """

    number: int
    time: float
    version: Version
    student: NDArray[np.float64]
    teacher: NDArray[np.float64]
    ceiling: NDArray[np.float64] | None = None
    no_conflict: NDArray[np.float64] | None = None
    truth: int | None = None


class StudentWindow:
    """A ring of observations, read and written from several threads.

    Args:
        spec: Its count and age.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self._spec = spec
        self._rows: Rows = np.zeros(spec.observations, dtype=ROW)
        self._rows["version"] = _GONE
        self._written = 0
        self._versions: list[Version] = []
        self._lock = threading.Lock()

    def append(self, labelled: Sequence[Labelled]) -> int:
        """Adds observations; the oldest make room.

        Returns:
            How many teachers' rows have left the window because it held too many teachers.
        """
        with self._lock:
            for one in labelled:
                self._rows[self._written % len(self._rows)] = _row(one, self._index(one.version))
                self._written += 1
            return self._drop_teachers()

    def learn(self, truths: Sequence[Labelled]) -> None:
        """Takes over what the truth says of observations; those that have left the window are passed over."""
        with self._lock:
            places = {number: place for place, number in enumerate(self._rows["number"].tolist())}
            for one in truths:
                if (place := places.get(one.number)) is not None and self._rows[place]["version"] != _GONE:
                    self._rows[place] = _row(one, self._index(one.version))

    def rows(self, now: float) -> tuple[Rows, list[Version]]:
        """The observations that are not too old, oldest first, and the versions that they number."""
        with self._lock:
            start = self._written % len(self._rows)
            rows = np.concatenate([self._rows[start:], self._rows[:start]])
            versions = list(self._versions)
        return rows[(rows["version"] != _GONE) & (rows["time"] >= now - self._spec.age)], versions

    @property
    def oldest(self) -> int:
        """The least number that may still be in the window."""
        with self._lock:
            place = self._written % len(self._rows)
            return int(self._rows[place]["number"]) if self._written >= len(self._rows) else 0

    def _index(self, version: Version) -> int:
        if version not in self._versions:
            self._versions.append(version)
        return self._versions.index(version)

    def _drop_teachers(self) -> int:
        """Lets the teachers go that were met first, where there are too many."""
        there = self._rows["version"]
        present = [index for index in range(len(self._versions)) if (there == index).any()]
        dropped = present[:-MAX_TEACHERS]
        there[np.isin(there, dropped)] = _GONE
        return len(dropped)


def _row(one: Labelled, version: int) -> tuple[float, ...]:
    truth = one.truth
    return (
        one.number,
        one.time,
        version,
        int(one.student.argmax()),
        float(one.student.max()),
        int(one.teacher.argmax()),
        float(one.teacher.max()),
        -1 if one.no_conflict is None else int(one.no_conflict.argmax()),
        -1 if truth is None else truth,
        np.nan if truth is None else float(one.teacher[truth]),
        np.nan if truth is None or one.ceiling is None else float(one.ceiling[truth]),
    )
