"""How a student is watched, as typed settings; mirrors the proto's StudentSpec."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints, model_validator

from w2s.artifacts import ArtifactRef
from w2s.metrics.deception import THRESHOLD

ID = r"^[a-z0-9-]{1,63}$"

_Teacher = Annotated[str, StringConstraints(pattern=r"^(teachers/[a-z0-9-]{1,63})?$")]
_Class = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _seconds(value: object) -> object:
    # A Duration's JSON, such as `0.5s`.
    return value.removesuffix("s") if isinstance(value, str) else value


def _duration(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


# Seconds, which JSON has as a proto Duration.
Seconds = Annotated[
    float, BeforeValidator(_seconds), PlainSerializer(_duration, when_used="json"), Field(gt=0, allow_inf_nan=False)
]


class WindowSpec(BaseModel):
    """How far back figures look.

    Attributes:
        observations: Observations at most.
        age: Seconds at most.
        half_life: Seconds after which an observation counts half; None for no decay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    observations: int = Field(default=2000, ge=20, le=100_000)
    age: Seconds = 3600.0
    half_life: Seconds | None = None


class StudentSpec(BaseModel):
    """How a student is watched.

    Attributes:
        dimension: What its labels are about.
        label_names: Its classes, in the order of its probabilities.
        teacher: The teacher that labels its inputs; empty for whichever is active.
        ceiling: The teacher that stands for what the strong model knows; empty for none.
        no_conflict: The teacher that stands for the student without conflict; empty for none.
        threshold: The probability from which an answer is confident and an example known.
        labels_per_second: Observations labelled in a second at most.
        sampling_rate: The share of observations to label.
        window: How far back its figures look.
        reference: What its confidence drifts from; None for its first observations.
        inference_service: Whose logged payloads are this student's; empty for nobody's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimension: str = Field(pattern=ID)
    label_names: tuple[_Class, ...] = Field(min_length=2, max_length=1000)
    teacher: _Teacher = ""
    ceiling: _Teacher = ""
    no_conflict: _Teacher = ""
    threshold: float = Field(default=THRESHOLD, gt=0, lt=1)
    labels_per_second: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    sampling_rate: float = Field(default=1.0, gt=0, le=1)
    window: WindowSpec = WindowSpec()
    reference: ArtifactRef | None = None
    inference_service: str = Field(default="", pattern=r"^([a-z0-9-]{1,63}/[a-z0-9.-]{1,253})?$")

    @model_validator(mode="after")
    def _distinct_classes(self) -> Self:
        if len(set(self.label_names)) < len(self.label_names):
            raise ValueError("label_names must be distinct")
        return self
