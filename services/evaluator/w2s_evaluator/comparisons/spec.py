"""What is compared with what, as typed settings; mirrors the proto's CompareRequest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from w2s.artifacts import ArtifactRef


class ComparisonSpec(BaseModel):
    """Predictions to compare, one of each role for each seed, in the same order.

    Attributes:
        replicates: Bootstrap replicates.
        seed: Seeds the bootstrap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weak: list[ArtifactRef] = Field(min_length=1, max_length=100)
    student: list[ArtifactRef] = Field(min_length=1, max_length=100)
    ceiling: list[ArtifactRef] = Field(min_length=1, max_length=100)
    replicates: int = Field(default=2000, ge=100, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _same_length(self) -> ComparisonSpec:
        if not len(self.weak) == len(self.student) == len(self.ceiling):
            raise ValueError("weak, student and ceiling need one entry for each seed")
        return self
