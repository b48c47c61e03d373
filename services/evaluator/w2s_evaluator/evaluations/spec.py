"""What is evaluated on what, as typed settings; mirrors the proto's EvaluationSpec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from w2s.artifacts import ArtifactRef


class TeacherSource(BaseModel):
    """A registered teacher, asked over gRPC; `required_digest` pins its version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str = Field(pattern=r"^teachers/[a-z0-9-]{1,63}$")
    required_digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")


class EvaluationSpec(BaseModel):
    """A dataset, and exactly one source of predictions on it.

    Attributes:
        dataset: The examples and their ground truth.
        model: A model artifact, run here.
        teacher: A registered teacher.
        labels: Labels already made for the dataset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: ArtifactRef
    model: ArtifactRef | None = None
    teacher: TeacherSource | None = None
    labels: ArtifactRef | None = None

    @model_validator(mode="after")
    def _one_source(self) -> EvaluationSpec:
        if sum(source is not None for source in (self.model, self.teacher, self.labels)) != 1:
            raise ValueError("set exactly one of model, teacher and labels")
        return self
