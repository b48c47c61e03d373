"""What is compared with what, as typed settings; mirrors the proto's requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from w2s.artifacts import ArtifactRef
from w2s.metrics.deception import SWEEP, THRESHOLD

# A confidence that parts what is known from what is not.
_Threshold = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class _Figures(BaseModel):
    """How figures are made, and where they go.

    Attributes:
        replicates: Bootstrap replicates.
        seed: Seeds the bootstrap.
        publish_as: The name they are published under; empty for nowhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replicates: int = Field(default=2000, ge=100, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**32)
    publish_as: str = Field(default="", pattern=r"^[a-z0-9-]{0,63}$")


class ComparisonSpec(_Figures):
    """Predictions to compare, one of each role for each seed, in the same order.

    Attributes:
        metric: The metric; empty for the usual one of what is compared.
    """

    weak: list[ArtifactRef] = Field(min_length=1, max_length=100)
    student: list[ArtifactRef] = Field(min_length=1, max_length=100)
    ceiling: list[ArtifactRef] = Field(min_length=1, max_length=100)
    metric: str = ""

    @model_validator(mode="after")
    def _same_length(self) -> ComparisonSpec:
        if not len(self.weak) == len(self.student) == len(self.ceiling):
            raise ValueError("weak, student and ceiling need one entry for each seed")
        return self


class ComparisonsSpec(BaseModel):
    """Several comparisons: a dataset, student or method each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    comparisons: list[ComparisonSpec] = Field(min_length=1, max_length=1000)

    @field_validator("comparisons")
    @classmethod
    def _names_differ(cls, comparisons: list[ComparisonSpec]) -> list[ComparisonSpec]:
        names = [spec.publish_as for spec in comparisons if spec.publish_as]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two of them publish as {twice[0]}")
        return comparisons


class DeceptionSpec(_Figures):
    """Predictions that say where a student is wrong, all on the same test examples.

    Attributes:
        weak: The weak model's, trained on ground truth.
        strong: The strong model's, trained on ground truth.
        student: The student's, trained on the weak model's labels.
        no_conflict: Those of a student of the same labels without a conflict.
        threshold: The confidence from which an example is known.
        sweep: Other thresholds, rising.
        weak_validation: The weak model's on other examples, which its temperature is fitted to.
        strong_validation: The strong model's, likewise.
    """

    weak: ArtifactRef
    strong: ArtifactRef
    student: ArtifactRef
    no_conflict: ArtifactRef | None = None
    threshold: _Threshold = THRESHOLD
    sweep: Annotated[list[_Threshold], Field(max_length=32)] = Field(default=list(SWEEP))
    weak_validation: ArtifactRef | None = None
    strong_validation: ArtifactRef | None = None

    @field_validator("sweep")
    @classmethod
    def _rising(cls, sweep: list[float]) -> list[float]:
        return sorted(set(sweep))

    @model_validator(mode="after")
    def _both_or_neither(self) -> DeceptionSpec:
        if (self.weak_validation is None) != (self.strong_validation is None):
            raise ValueError("set both of weak_validation and strong_validation, or neither")
        return self
