"""The settings of a weak-to-strong reasoning experiment."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from pipelines.language import Fitting, Questions, Writing
from pipelines.plans import BasePlan, Frozen, Model, among

WEAK, CEILING = "weak", "ceiling"
FULL_WEAK, WEAK_ONLY, ICL_ONLY, HYBRID = "full_weak", "weak_only", "icl_only", "hybrid"
ARMS = (FULL_WEAK, WEAK_ONLY, ICL_ONLY, HYBRID)
DPO, ORPO = "dpo", "orpo"
OBJECTIVES = (DPO, ORPO)


class Models(Frozen):
    """Who solves.

    Attributes:
        weak: Learns solutions, and then writes some.
        strong: Learns from what both write.
    """

    weak: Model
    strong: Model


class Stage(Frozen):
    """Stage I, selective fine-tuning.

    Attributes:
        shots: Solved questions before each question, where the strong model answers in context; the weak model
            wrote their solutions.
        iterations: How often both sides write and are intersected; the second time by models that the first made.
        arms: What is trained on: all that the weak model wrote, or of the questions that both answer alike the weak
            solutions, the ones in context, or both.
    """

    shots: int = Field(ge=0, le=32)
    iterations: int = Field(ge=1, le=2)
    arms: list[str] = Field(min_length=1)

    @field_validator("arms")
    @classmethod
    def _possible(cls, values: list[str]) -> list[str]:
        return among(values, ARMS)


class Preference(Frozen):
    """Stage II, preferences between solutions of one's own.

    Attributes:
        objectives: Among dpo and orpo; each begins at the stage-I model, and dpo holds it for its reference.
        trust: The share of samples that must agree for their answer to be believed.
        overrule: The share from which it is believed against the weak model.
        pairs: Pairs of a question at most.
        epochs: Passes over the pairs.
        learning_rate: Peak learning rate.
        beta: DPO's.
        weight: ORPO's lambda.
    """

    objectives: list[str] = Field(min_length=1)
    trust: float = Field(ge=0, le=1)
    overrule: float = Field(ge=0, le=1)
    pairs: int = Field(ge=1, le=10)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    beta: float = Field(gt=0)
    weight: float = Field(ge=0)

    @field_validator("objectives")
    @classmethod
    def _possible(cls, values: list[str]) -> list[str]:
        return among(values, OBJECTIVES)

    @model_validator(mode="after")
    def _ordered(self) -> Preference:
        if self.overrule < self.trust:
            raise ValueError("overrule must be at least trust")
        return self


class Plan(BasePlan):
    """Weak fine-tuning, weak and in-context solutions, what they agree on, fine-tuning, votes, preferences.

    Attributes:
        data: What is asked.
        models: Who solves.
        train: How they are fine-tuned.
        write: How they write.
        stage: Stage I.
        preference: Stage II.
    """

    data: Questions
    models: Models
    train: Fitting
    write: Writing
    stage: Stage
    preference: Preference
