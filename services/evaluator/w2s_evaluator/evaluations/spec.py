"""What is evaluated on what, as typed settings; mirrors the proto's EvaluationSpec."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from w2s.artifacts import ArtifactRef
from w2s_evaluator.scorers.protocol import ScorerKind

T = TypeVar("T")


class TeacherSource(BaseModel):
    """A registered teacher, asked over gRPC; `required_digest` pins its version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str = Field(pattern=r"^teachers/[a-z0-9-]{1,63}$")
    required_digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")


class MarginReading(BaseModel):
    """How a language model's log-probabilities of two answers become a margin.

    Attributes:
        length_normalized: Takes the mean over tokens, and not the sum.
        scale: Divides the margin before the sigmoid gives the confidence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    length_normalized: bool = False
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must be distinct")
    return values


class Generation(BaseModel):
    """How answers are generated, and what is measured of them.

    Attributes:
        samples: Answers to each prompt.
        max_new_tokens: Tokens of each at most.
        temperature: Divides the logits; 0 takes the most probable token.
        top_p: Samples from the smallest set of tokens whose probability reaches this.
        seed: Seeds the sampling.
        stop: Texts that end an answer and are left out of it.
        scorers: What is measured.
        pass_at: The k of pass@k.
        chat_template: Asks in the tokenizer's chat template, as a user's turn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(default=1, ge=1, le=256)
    max_new_tokens: int = Field(default=128, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0, le=100, validate_default=True)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    stop: tuple[str, ...] = Field(default=(), max_length=4)
    scorers: Annotated[tuple[ScorerKind, ...], AfterValidator(_distinct)] = Field(min_length=1)
    pass_at: Annotated[tuple[int, ...], AfterValidator(_distinct)] = ()
    chat_template: bool = False

    @field_validator("temperature")
    @classmethod
    def _samples_differ(cls, temperature: float, info: ValidationInfo) -> float:
        if temperature == 0 and info.data.get("samples", 1) > 1:
            raise ValueError("must be above 0 for more than one sample: without it all are the same")
        return temperature

    @field_validator("stop")
    @classmethod
    def _say_something(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("must not hold an empty text")
        return stop

    @field_validator("pass_at")
    @classmethod
    def _can_pass(cls, pass_at: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        samples = info.data.get("samples", 256)
        if any(not 1 <= k <= samples for k in pass_at):
            raise ValueError(f"must be in [1, samples = {samples}]; ask for more samples or a smaller k")
        if pass_at and not any(kind.matches for kind in info.data.get("scorers", [ScorerKind.MATH])):
            raise ValueError("is for answers that can be right: add exact_match, math or move to the scorers")
        return pass_at


class Benchmarks(BaseModel):
    """Standard benchmarks of language models.

    Attributes:
        tasks: Names of the harness' tasks, or of tasks in the service's own folder.
        limit: Examples of each at most; 0 for all.
        shots: Solved examples before each question; None for the task's own number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Annotated[tuple[str, ...], AfterValidator(_distinct)] = Field(min_length=1, max_length=64)
    limit: int = Field(default=0, ge=0)
    shots: int | None = Field(default=None, ge=0, le=64)


class EvaluationSpec(BaseModel):
    """A dataset or benchmarks, and exactly one source of predictions on it.

    Attributes:
        dataset: The examples and their ground truth; None for benchmarks.
        model: A model artifact, run here.
        teacher: A registered teacher.
        labels: Labels already made for the dataset.
        generation: How answers are generated; for a dataset of prompts.
        margin: How pairs are judged; for a dataset of pairs.
        benchmarks: What is run in place of a dataset.
        replicates: Bootstrap replicates of the intervals.
        bootstrap_seed: Seeds the bootstrap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: ArtifactRef | None = None
    model: ArtifactRef | None = None
    teacher: TeacherSource | None = None
    labels: ArtifactRef | None = None
    generation: Generation | None = None
    margin: MarginReading | None = None
    benchmarks: Benchmarks | None = None
    replicates: int = Field(default=2000, ge=100, le=100_000)
    bootstrap_seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _one_source(self) -> EvaluationSpec:
        if sum(source is not None for source in (self.model, self.teacher, self.labels)) != 1:
            raise ValueError("set exactly one of model, teacher and labels")
        return self
