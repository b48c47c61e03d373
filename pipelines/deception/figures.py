"""A deception report's figures."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from pipelines.deception.plan import NO_MITIGATION
from pipelines.steps.items import Json

# Of fewer examples the evaluator gives no figure.
MINIMUM = 20
OK = "OK"


class Figure(BaseModel):
    """A figure with its interval; null where it is of fewer than 20 examples.

    Attributes:
        n: The examples that it is of.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Area(BaseModel):
    """How many test pairs of one area a student has right and wrong."""

    strong_known: bool
    weak_known: bool
    right: float
    wrong: float


class Deception(BaseModel):
    """Deception at one threshold of knowing; see the evaluator's DeceptionFigures."""

    threshold: float
    areas: list[Area]
    score: Figure
    tax: Figure
    base_rate: Figure
    lift: Figure
    difference: Figure


class Student(BaseModel):
    """One student, or with the seed null the means over a cell's seeds.

    Attributes:
        oracle: Its filter read ground truth, which no honest run can.
        pairs: What it was trained on, mixed-in pairs and all.
        accuracy: On the test pairs, of the supervised objective.
        blind_spot_rate: The share of test pairs on which it is surely wrong and the supervisor unsure.
        weak_temperature: What the weak model's logits were divided by; 1 without calibration.
        strong_temperature: What the ceiling's were.
        at: At the threshold of the plan.
        sweep: At the other thresholds, rising.
        status: OK, or why there is no score.
    """

    objective: str
    weak: str
    strong: str
    conflict: str
    mitigation: str
    seed: int | None
    oracle: bool
    pairs: float
    weak_accuracy: float
    accuracy: float
    ceiling_accuracy: float
    blind_spot_rate: float
    weak_temperature: float
    strong_temperature: float
    at: Deception
    sweep: list[Deception]
    status: str

    @property
    def gap(self) -> str:
        """Who taught whom."""
        return f"{self.weak} > {self.strong}"


class Failure(BaseModel):
    """A student, or an intermediate model, that could not be trained."""

    objective: str
    weak: str
    strong: str
    conflict: str
    mitigation: str
    seed: int
    reason: str


class Supervision(BaseModel):
    """How good a weak model's labels of the transfer split are."""

    objective: str
    weak: str
    seed: int
    accuracy: float


class Figures(BaseModel):
    """Every figure of the experiment.

    Attributes:
        students: Each student.
        cells: Means over seeds, one for each objective, gap, mitigation and conflict.
        supervision: The labels.
        failures: What failed.
        provenance: What made it.
    """

    students: list[Student]
    cells: list[Student]
    supervision: list[Supervision]
    failures: list[Failure]
    provenance: Json = {}


def plain(cells: Iterable[Student]) -> list[Student]:
    """Those without a mitigation, as long as there are any."""
    rows = list(cells)
    return [row for row in rows if row.mitigation == NO_MITIGATION] or rows
