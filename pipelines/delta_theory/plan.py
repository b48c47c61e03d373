"""The settings of the theorem's experiment."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from pipelines.plans import BasePlan, Frozen
from w2s.theory.delta import Setting

# Fewer inputs a dimension leave noise of sqrt(d / n) above what is to be seen.
_INPUTS_A_DIMENSION = 200


class Space(Frozen):
    """Where inputs are drawn.

    Attributes:
        dimensions: d.
        inputs: n, 200 a dimension at least.
    """

    dimensions: int = Field(ge=5, le=5000)
    inputs: int = Field(ge=1)

    @model_validator(mode="after")
    def _enough(self) -> Space:
        if self.inputs < _INPUTS_A_DIMENSION * self.dimensions:
            raise ValueError(f"inputs must be {_INPUTS_A_DIMENSION} a dimension at least")
        return self


class Teachers(Frozen):
    """Who knows how much.

    Attributes:
        cosines: `[student, chosen, rejected]` each: cosines with the truth.
        shared: How much of their errors all have in common: 0 for independent errors.
    """

    cosines: list[list[float]] = Field(min_length=1)
    shared: list[float] = Field(min_length=1)

    @field_validator("cosines")
    @classmethod
    def _threes(cls, values: list[list[float]]) -> list[list[float]]:
        for value in values:
            if len(value) != 3 or not all(-1 < cosine < 1 for cosine in value):
                raise ValueError(f"must each be three cosines between -1 and 1, got {value}")
        return values

    @field_validator("shared")
    @classmethod
    def _shares(cls, values: list[float]) -> list[float]:
        for value in values:
            if not 0 <= value < 1:
                raise ValueError(f"must each be in [0, 1), got {value}")
        return values


class Walk(Frozen):
    """How far the student goes along its one gradient.

    Attributes:
        length: The last time.
        points: Times that are looked at.
    """

    length: float = Field(gt=0)
    points: int = Field(ge=2, le=10_000)


class Plan(BasePlan):
    """Preferences and fine-tuning, in every regime, against the closed form.

    Attributes:
        space: Where inputs are drawn.
        teachers: Who knows how much.
        walk: How far the student goes.
    """

    space: Space
    teachers: Teachers
    walk: Walk

    @property
    def settings(self) -> list[Setting]:
        """Every regime."""
        return [
            Setting(student, chosen, rejected, shared)
            for shared in self.teachers.shared
            for student, chosen, rejected in self.teachers.cosines
        ]
