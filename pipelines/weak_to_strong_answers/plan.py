"""The settings of a weak-to-strong experiment on answers that are written."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from pipelines.language import Fitting, Greedy, Questions
from pipelines.methods import BOOTSTRAPPING, NAIVE, Chain, possible
from pipelines.plans import BasePlan
from pipelines.weak_to_strong.plan import Models

METHODS = (NAIVE, BOOTSTRAPPING)
WEAK, CEILING = "weak", "ceiling"


class Plan(BasePlan):
    """Every weak model writes answers that every larger strong one learns, straight or through models between.

    Attributes:
        data: What is asked.
        models: Who teaches and who learns.
        train: How all of them are fine-tuned.
        write: How they answer, greedily.
        method: What the methods are set to.
        methods: How students learn from weak answers.
    """

    data: Questions
    models: Models
    train: Fitting
    write: Greedy
    method: Chain
    methods: list[str] = Field(min_length=1)

    @field_validator("methods")
    @classmethod
    def _possible(cls, values: list[str], info: ValidationInfo) -> list[str]:
        return possible(values, METHODS, info.data.get("method"))
