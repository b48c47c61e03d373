"""What every pipeline's plan is made of: typed settings under the flat names of KFP's form.

A plan is a model of groups; `data_task` in a form, in a preset and on the command line is the
field `task` of the group `data`. What a plan refuses is named as the user wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from w2s.errors import InvalidArgument
from w2s.tasks import SplitSizes

Json = dict[str, Any]

_COMMIT = re.compile(r"[0-9a-f]{40}")


def one_of(*values: str) -> Any:
    """A field with few values: what its plan accepts, KFP's form offers and the command lists."""
    return Field(json_schema_extra={"enum": list(values)})


class Frozen(BaseModel):
    """A part of a plan: it knows no unknown field, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        values = _values(cls, info.field_name or "")
        if values and value not in values:
            raise ValueError(f"must be one of {', '.join(map(str, values))}, got {value!r}")
        return value


class Model(Frozen):
    """A model of an experiment.

    Attributes:
        uri: Where its weights are; see the proto's ModelRef.
        revision: The hub commit, for `hf://` addresses: 40 hex digits, so that it stays what it is.
        layers: Transformer layers it keeps; -1 for all.
        train_from_layer: Layers from this one up train; equal to `layers`, the body is frozen.
        learning_rate: Peak learning rate of its body; 0 for that of the training.
    """

    uri: str = Field(min_length=1)
    revision: str = ""
    layers: int = Field(default=-1, ge=-1)
    train_from_layer: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _pinned(self) -> Model:
        if self.uri.startswith("hf://") and not _COMMIT.fullmatch(self.revision):
            raise ValueError(f"{self.uri} needs the 40 hex digits of a commit as revision, got {self.revision!r}")
        return self

    @property
    def base(self) -> str:
        """What the address ends in."""
        return self.uri.removesuffix("/model").rsplit("/", 1)[-1]

    @property
    def title(self) -> str:
        """A short name for tables: what the address ends in, and the layers kept."""
        if self.layers < 0:
            return self.base
        return f"{self.base}, {self.layers} layer{'' if self.layers == 1 else 's'}"

    @property
    def tag(self) -> str:
        """The same in one word, for the labels of items."""
        return self.base if self.layers < 0 else f"{self.base}/{self.layers}"


class Training(Frozen):
    """How the models of an experiment are trained.

    Attributes:
        encoding: `pair` encodes two texts apart, `single` joins them.
        max_length: Tokens a text is cut to.
        epochs: Passes over the data.
        batch_size: Examples a step.
        learning_rate: Peak learning rate of bodies.
        head_learning_rate: Peak learning rate of heads.
        early_stopping: `none` keeps the last weights; `labels` those that agree best with held-out
            labels; `oracle` those that agree best with held-out ground truth, which no honest
            student can know.
    """

    encoding: str = one_of("pair", "single")
    max_length: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    head_learning_rate: float = Field(gt=0, le=1)
    early_stopping: str = one_of("none", "labels", "oracle")


class Rows(Frozen):
    """How much data an experiment takes.

    Attributes:
        train_rows: Rows of the weak models' split, and of the transfer split.
        validation_rows: Rows of the validation split.
        test_rows: Rows of the test split.
    """

    train_rows: int = Field(ge=1)
    validation_rows: int = Field(ge=1)
    test_rows: int = Field(ge=1)

    @property
    def sizes(self) -> SplitSizes:
        """Rows of each split."""
        return SplitSizes(
            weak_train=self.train_rows,
            transfer=self.train_rows,
            validation=self.validation_rows,
            test=self.test_rows,
        )


class BasePlan(Frozen):
    """What every plan has.

    Attributes:
        seeds: Each is a whole experiment: split, teacher, students and ceiling.
        nonce: Any new text forces fresh work; empty goes on from what was done before.
    """

    seeds: list[int] = Field(min_length=1)
    nonce: str = ""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, values: list[int]) -> list[int]:
        return distinct(values)


P = TypeVar("P", bound=BasePlan)
T = TypeVar("T")


def distinct(values: list[T]) -> list[T]:
    """The values.

    Raises:
        ValueError: One is there twice.
    """
    if any(value in values[:index] for index, value in enumerate(values)):
        raise ValueError("holds an entry twice")
    return values


def among(values: list[str], known: tuple[str, ...]) -> list[str]:
    """The values.

    Raises:
        ValueError: One is unknown, or there twice.
    """
    for value in values:
        if value not in known:
            raise ValueError(f"are among {', '.join(known)}, and {value!r} is not")
    return distinct(values)


def make_plan(kind: type[P], settings: Mapping[str, Any]) -> P:
    """Validates settings.

    Args:
        kind: The pipeline's plan.
        settings: Values by their flat names.

    Raises:
        InvalidArgument: One is wrong, missing or unknown; it is named.
    """
    groups = _groups(kind)
    fields: Json = {}
    for name, value in settings.items():
        group, _, field = name.partition("_")
        if group in groups:
            fields.setdefault(group, {})[field] = value
        else:
            fields[name] = value
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidArgument(_name(groups, problem["loc"]), _said(problem["type"], problem["msg"])) from error


def planned(kind: type[BasePlan], settings: Mapping[str, Any]) -> tuple[Json, Json]:
    """A plan that has `data` of one task, and what `steps.prepare` is to make for it; errors as `make_plan`."""
    made: Any = make_plan(kind, settings)
    wanted = {"task": made.data.task, "sizes": made.data.sizes.model_dump(), "seeds": made.seeds}
    return made.model_dump(mode="json"), wanted


def settings_of(plan: BasePlan) -> Json:
    """A plan's settings by their flat names."""
    groups, fields = _groups(type(plan)), plan.model_dump(mode="json")
    found: Json = {name: value for name, value in fields.items() if name not in groups}
    for group in groups:
        found |= {f"{group}_{field}": value for field, value in fields[group].items()}
    return dict(sorted(found.items()))


def choices(kind: type[BasePlan]) -> dict[str, list[Any]]:
    """The settings that have few values, by flat name: one table for KFP's form and the command."""
    found = {name: _values(kind, name) for name in kind.model_fields}
    for group, part in _groups(kind).items():
        found |= {f"{group}_{name}": _values(part, name) for name in part.model_fields}
    return {name: values for name, values in sorted(found.items()) if values}


def _groups(kind: type[BaseModel]) -> dict[str, type[Frozen]]:
    return {
        name: field.annotation
        for name, field in kind.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Frozen)
    }


def _values(kind: type[BaseModel], name: str) -> list[Any]:
    field = kind.model_fields[name]
    if field.annotation is bool:
        return [True, False]
    extra = field.json_schema_extra
    values = extra.get("enum") if isinstance(extra, dict) else None
    return values if isinstance(values, list) else []


def _name(groups: Mapping[str, Any], place: tuple[int | str, ...]) -> str:
    # What is wrong with a plan as a whole has no place in it.
    first, *rest = map(str, place or ("plan",))
    if first in groups and rest:
        first, *rest = f"{first}_{rest[0]}", *rest[1:]
    return ".".join([first, *rest])


def _said(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is no setting of this pipeline"
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Value error, ")
