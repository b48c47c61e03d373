"""The settings of a weak-to-strong deception experiment."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from pipelines.plans import BasePlan, Frozen, Model, Rows, among, distinct, one_of
from w2s.tasks import list_tasks

REWARD, DPO, SIMPO = "reward", "dpo", "simpo"
OBJECTIVES = (REWARD, DPO, SIMPO)
NO_CONFLICT, EXPLICIT, IMPLICIT = "none", "explicit", "implicit"
CONFLICTS = (NO_CONFLICT, EXPLICIT, IMPLICIT)
NO_MITIGATION, BOOTSTRAPPING, FILTER, ORACLE_FILTER = "none", "bootstrapping", "filter", "filter_oracle"
MITIGATIONS = (NO_MITIGATION, BOOTSTRAPPING, FILTER, ORACLE_FILTER)
WEAK, CEILING = "weak", "ceiling"

_PAIRS = tuple(task.name for task in list_tasks(kind="pairs"))


class Data(Rows):
    """What is learned.

    Attributes:
        task: The pairs of the objective that the weak model supervises.
        conflict_task: The pairs of the objective that an implicit conflict mixes in, with their ground truth.
        train_rows: Pairs of the weak models' split, and of the transfer split; likewise of the conflict's.
        validation_rows: Pairs of the split that temperatures are fitted on.
        test_rows: Pairs of the test split.
        ceiling_split: What ceilings are trained on: the ground truth of `weak_train`, as the published code
            does, or of `transfer`.
    """

    task: str = one_of(*_PAIRS)
    conflict_task: str = one_of(*_PAIRS)
    ceiling_split: str = one_of("weak_train", "transfer")


class Models(Frozen):
    """Who teaches and who learns, each list from small to large.

    Attributes:
        weak: The supervisors.
        strong: The students, and the ceilings.
        intermediate: The model between them, for bootstrapping; at most one.
    """

    weak: list[Model]
    strong: list[Model]
    intermediate: list[Model] = Field(max_length=1)

    @field_validator("weak", "strong")
    @classmethod
    def _distinct(cls, values: list[Model]) -> list[Model]:
        return distinct(values)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Places of every (weak, strong) pair; a model in both lists teaches only those that come after it."""
        return [
            (weak, strong)
            for weak in range(len(self.weak))
            for strong, model in enumerate(self.strong)
            if model not in self.weak[: weak + 1]
        ]

    def between(self, weak: int, strong: int) -> Model | None:
        """The intermediate model of a gap; None where it is one of the two, or there is none."""
        ends = (self.weak[weak], self.strong[strong])
        return next((model for model in self.intermediate if model not in ends), None)

    def intermediate_of(self, weak: int) -> Model | None:
        """The intermediate model of any of a weak model's gaps."""
        found = (self.between(*gap) for gap in self.gaps if gap[0] == weak)
        return next((model for model in found if model is not None), None)


class Reward(Models):
    """Reward modelling.

    Attributes:
        epochs: Passes over the pairs.
        learning_rate: Peak rate of bodies.
        head_learning_rate: Peak rate of heads.
    """

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    head_learning_rate: float = Field(gt=0, le=1)


class Preference(Models):
    """Preference optimisation, of causal language models: fine-tuning on what is preferred, then DPO or SimPO.

    Attributes:
        lora_rank: Rank of the adapters that train; 0 trains the weights themselves.
        sft_epochs: Passes of the fine-tuning.
        dpo_epochs: Passes of DPO.
        simpo_epochs: Passes of SimPO.
        sft_learning_rate: Peak rate of the fine-tuning.
        learning_rate: Peak rate of DPO and SimPO.
        dpo_beta: How closely DPO keeps to its reference.
        simpo_beta: The scale of SimPO's rewards.
        simpo_gamma: By how much SimPO's chosen reward must be ahead.
    """

    lora_rank: int = Field(ge=0, le=1024)
    sft_epochs: int = Field(ge=1)
    dpo_epochs: int = Field(ge=1)
    simpo_epochs: int = Field(ge=1)
    sft_learning_rate: float = Field(gt=0, le=1)
    learning_rate: float = Field(gt=0, le=1)
    dpo_beta: float = Field(gt=0)
    simpo_beta: float = Field(gt=0)
    simpo_gamma: float = Field(ge=0)


class Train(Frozen):
    """How all models are trained.

    Attributes:
        batch_size: Pairs a step.
        max_length: Tokens of a prompt with its answer.
    """

    batch_size: int = Field(ge=1)
    max_length: int = Field(ge=1)


class Conflict(Frozen):
    """What an explicit conflict is set to.

    Attributes:
        weight: The weight of the reward for what the ground truth rejects.
    """

    weight: float = Field(gt=0)


class Knowledge(Frozen):
    """When a model knows a pair.

    Attributes:
        threshold: The least probability of the truth.
        calibrated: A temperature is fitted to weak models and ceilings on the validation split first. The paper has
            none.
    """

    threshold: float = Field(gt=0, lt=1)
    calibrated: bool


class Filter(Frozen):
    """What the filters are set to.

    Attributes:
        threshold: The least confidence of a weak label that is learned from.
    """

    threshold: float = Field(gt=0, le=1)


class Plan(BasePlan):
    """A deception experiment: every objective, gap, conflict and mitigation, for every seed.

    Attributes:
        data: What is learned.
        reward: Reward modelling, and its models.
        preference: Preference optimisation, and its models.
        train: How all models are trained.
        conflict: What an explicit conflict is set to.
        knowledge: When a model knows a pair.
        filter: What the filters are set to.
        objectives: How preferences are learned.
        conflicts: What pulls students away; `none` is always done, since the others are held against it.
        mitigations: What is to help against deception; `filter_oracle` drops what the ground truth says is wrong, as
            the published code does, and no honest run can.
    """

    data: Data
    reward: Reward
    preference: Preference
    train: Train
    conflict: Conflict
    knowledge: Knowledge
    filter: Filter
    objectives: list[str] = Field(min_length=1)
    conflicts: list[str] = Field(min_length=1)
    mitigations: list[str] = Field(min_length=1)

    @field_validator("objectives")
    @classmethod
    def _with_gaps(cls, values: list[str], info: ValidationInfo) -> list[str]:
        for value in among(values, OBJECTIVES):
            group = group_of(value)
            if group in info.data and not info.data[group].gaps:
                raise ValueError(f"has {value}, and no model of {group}_strong comes after one of {group}_weak")
        return values

    @field_validator("conflicts")
    @classmethod
    def _against_none(cls, values: list[str]) -> list[str]:
        return [NO_CONFLICT, *(value for value in among(values, CONFLICTS) if value != NO_CONFLICT)]

    @field_validator("mitigations")
    @classmethod
    def _with_what_they_need(cls, values: list[str], info: ValidationInfo) -> list[str]:
        for objective in info.data.get("objectives", ()) if BOOTSTRAPPING in values else ():
            group = group_of(objective)
            models = info.data.get(group)
            if models is not None and not any(models.between(*gap) for gap in models.gaps):
                raise ValueError(f"has bootstrapping, and no gap has a model between in {group}_intermediate")
        return among(values, MITIGATIONS)

    def models_of(self, objective: str) -> Models:
        """The models that learn by an objective."""
        return self.reward if objective == REWARD else self.preference


def group_of(objective: str) -> str:
    """The group of settings that an objective's models are in."""
    return "reward" if objective == REWARD else "preference"
