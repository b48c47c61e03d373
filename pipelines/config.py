"""The settings of an experiment, validated once by the pipeline's first step."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from w2s.errors import InvalidArgument
from w2s.tasks import SplitSizes, get_task

Method = Literal["naive", "confidence"]
METHODS: tuple[Method, ...] = ("naive", "confidence")
# The strong ceiling is trained like a student, on ground truth.
CEILING = "ceiling"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Frozen):
    """A model of the experiment.

    Attributes:
        uri: Where its weights are; see the proto's ModelRef.
        revision: The hub revision, for `hf://` addresses.
        layers: Transformer layers it keeps; -1 for all.
        train_from_layer: Layers from this one up train; equal to `layers`, the body is frozen.
    """

    uri: str
    revision: str = ""
    layers: int = Field(default=-1, ge=-1)
    train_from_layer: int = Field(default=0, ge=0)

    @property
    def name(self) -> str:
        """A short name for tables: what the address ends in, and the layers kept."""
        base = self.uri.removesuffix("/model").rsplit("/", 1)[-1]
        if self.layers < 0:
            return base
        return f"{base}, {self.layers} layer{'' if self.layers == 1 else 's'}"


class Training(_Frozen):
    """How every model of the experiment is trained.

    Attributes:
        encoding: `pair` encodes two texts apart, `single` joins them.
        max_length: Tokens a text is cut to.
        epochs: Passes over the data.
        batch_size: Examples a step.
        learning_rate: Peak learning rate of bodies.
        head_learning_rate: Peak learning rate of heads.
        confidence_alpha: Weight of the student's own predictions in the confidence loss.
    """

    encoding: Literal["pair", "single"]
    max_length: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    confidence_alpha: float = Field(ge=0, le=1)


class Plan(_Frozen):
    """An experiment.

    Attributes:
        task: The task's name in the registry.
        sizes: Rows of each split.
        weak: The supervisor.
        student: The student, and the ceiling.
        training: How they are trained.
        methods: How students learn from weak labels.
        seeds: Each is a whole experiment: split, teacher, students and ceiling.
        nonce: Changes every key, to force fresh work; empty otherwise.
    """

    task: str
    sizes: SplitSizes
    weak: Model
    student: Model
    training: Training
    methods: list[Method] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    nonce: str = ""

    @field_validator("methods", "seeds")
    @classmethod
    def _distinct(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError("holds an entry twice")
        return values


def make_plan(fields: dict[str, Any]) -> Plan:
    """Validates an experiment.

    Raises:
        InvalidArgument: A field is wrong; it is named.
    """
    try:
        plan = Plan.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidArgument(".".join(str(part) for part in problem["loc"]), problem["msg"]) from error
    get_task(plan.task)
    return plan
