"""The figures of a weak-to-strong report, as `report.json` has them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from pipelines.reporting.pgr import PgrFigure

Range = tuple[float, float] | None


class Result(BaseModel):
    """A student of one seed, or in the summary a method over all seeds.

    Attributes:
        dataset: The task.
        weak: The supervisor.
        student: The student.
        method: How it learned.
        seed: The seed; null in the summary.
        weak_accuracy: On the test split, in [0, 1]; in the summary a mean over seeds.
        student_accuracy: Likewise.
        ceiling_accuracy: Likewise.
        weak_interval: Its 95 % bootstrap interval; likewise of the other two.
        examples: Test examples of each seed.
        agreement: Student-supervisor agreement on the test split, in [0, 1].
        agreement_supervisor_right: Where the supervisor is right; null when it never is.
        agreement_supervisor_wrong: Where it is wrong: imitated errors; null when it never is.
        pgr: Performance gap recovered; in the summary of the mean accuracies.
        pgr_median: The median over seeds whose PGR is OK; in the summary only.
    """

    dataset: str
    weak: str
    student: str
    method: str
    seed: int | None
    weak_accuracy: float
    student_accuracy: float
    ceiling_accuracy: float
    weak_interval: Range = None
    student_interval: Range = None
    ceiling_interval: Range = None
    examples: int = 0
    agreement: float
    agreement_supervisor_right: float | None
    agreement_supervisor_wrong: float | None
    pgr: PgrFigure
    pgr_median: float | None = None


class Failure(BaseModel):
    """A student that there is not, and why."""

    weak: str
    student: str
    method: str
    seed: int
    reason: str


class Curve(BaseModel):
    """What a run logged: (step, value) points by figure, such as `loss`."""

    method: str
    model: str
    seed: int
    points: dict[str, list[tuple[int, float]]]


class Bin(BaseModel):
    """Labels whose confidence fell into one range: mean confidence, share right, how many."""

    confidence: float
    accuracy: float
    n: int


class Supervision(BaseModel):
    """The weak labels of a model and a seed, held against ground truth on the transfer split."""

    weak: str
    seed: int
    teacher: str
    label_accuracy: float
    reliability: list[Bin]


class Report(BaseModel):
    """Everything the report shows, and what made it: one student at least did not fail."""

    results: list[Result]
    summary: list[Result]
    failures: list[Failure]
    supervision: list[Supervision]
    curves: list[Curve]
    provenance: dict[str, Any]

    @property
    def gaps(self) -> list[tuple[str, str]]:
        """The (weak, strong) pairs, in the order of the summary."""
        return list(dict.fromkeys((row.weak, row.student) for row in self.summary))
