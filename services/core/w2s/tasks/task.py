"""What a task is: where its rows come from, how they become examples, and what is measured."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from w2s.metrics import Direction, direction_of
from w2s.tasks.conversions import AnyConversion, Kind
from w2s.tasks.origins import Origin, Scalar

Family = Literal["nlp", "preference", "safety", "toxicity", "legal", "reasoning", "instructions", "chess", "arithmetic"]


class Task(BaseModel):
    """A task, as data.

    Attributes:
        name: Its key in the registry.
        title: A few words for people.
        family: What it is about.
        source: Where its rows come from.
        conversion: How they become examples, pairs or completions.
        where: Values by column of the rows that are kept; empty to keep all.
        max_rows: Source rows that are read at most, in the source's order.
        max_characters: Characters of a text, beyond which its row is left out.
        balanced: Whether rows of the larger classes are left out, by the row's id, until each
            class of a split has as many as the smallest.
        split_by: `component` keeps rows together that share a text, and loses none;
            `text` gives each text to one split and drops the rows whose texts fall apart,
            for sources in which nearly everything is connected.
        split_as: A name by which tasks of one source share their splits and draws; empty for the task's own.
        metric: What is reported.
        licence: The licence of the source.
        version: Raised whenever the examples change.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")
    title: str
    family: Family
    source: Origin
    conversion: AnyConversion
    where: dict[str, tuple[Scalar, ...]] = {}
    max_rows: int = Field(default=200_000, ge=1)
    max_characters: int = Field(default=20_000, ge=1)
    balanced: bool = False
    split_by: Literal["component", "text"] = "component"
    split_as: str = ""
    metric: str
    licence: str
    version: int = Field(default=1, ge=1)

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        try:
            direction_of(metric)
        except KeyError:
            raise ValueError("must be a metric of w2s.metrics.METRICS") from None
        return metric

    @model_validator(mode="after")
    def _has_classes_to_balance(self) -> Task:
        if self.balanced and self.kind != "classification":
            raise ValueError("balanced is for tasks of classification")
        return self

    @property
    def kind(self) -> Kind:
        """What its rows are."""
        return self.conversion.kind_of_task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes; none without labels."""
        return self.conversion.label_names

    @property
    def direction(self) -> Direction:
        """Which way its metric gets better."""
        return direction_of(self.metric)

    @property
    def offline(self) -> bool:
        """Whether its rows are there without a network, once `make setup` has run."""
        return self.source.offline
