"""The settings of a weak-to-strong experiment."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipelines import methods
from pipelines.methods import BOOTSTRAPPING, CONFIDENCE, NAIVE, possible
from pipelines.plans import BasePlan, Frozen, Model, Rows, Training, distinct, one_of
from w2s.tasks import list_tasks

GENERATIVE, PROBE = "generative", "probe"
METHODS = (NAIVE, CONFIDENCE, BOOTSTRAPPING, GENERATIVE, PROBE)
WEAK, CEILING = "weak", "ceiling"


class Data(Rows):
    """What is learned.

    Attributes:
        task: The task's name in the registry.
        train_rows: Rows of the weak models' split, and of the transfer split.
        validation_rows: Rows of the split that training curves are drawn on.
        test_rows: Rows of the test split.
        ceiling_split: What ceilings are trained on: the ground truth of `transfer`, which
            students learn from, or of `weak_train`, so that a model which is both weak and
            strong is trained once (the published code has both).
    """

    task: str = one_of(*(task.name for task in list_tasks(kind="classification")))
    ceiling_split: str = one_of("transfer", "weak_train")


class Models(Frozen):
    """Who teaches and who learns, each list from small to large.

    Attributes:
        weak: The supervisors.
        strong: The students, and the ceilings.
    """

    weak: list[Model] = Field(min_length=1)
    strong: list[Model] = Field(min_length=1)

    @field_validator("weak", "strong")
    @classmethod
    def _distinct(cls, values: list[Model]) -> list[Model]:
        return distinct(values)

    @model_validator(mode="after")
    def _a_gap(self) -> Models:
        if not self.gaps:
            raise ValueError("no strong model comes after a weak one")
        return self

    @property
    def gaps(self) -> list[tuple[Model, Model]]:
        """Every (weak, strong) pair; where one is in both lists, only with a strong model that comes after it."""
        return [
            (teacher, student)
            for index, teacher in enumerate(self.weak)
            for student in self.strong
            if student not in self.weak[: index + 1]
        ]


class Method(methods.Method):
    """What the methods are set to.

    Attributes:
        generative_epochs: Passes of language modelling over the task's texts, before the labels.
    """

    generative_epochs: int = Field(ge=1)


class Plan(BasePlan):
    """A weak-to-strong experiment: every weak model teaches every larger strong one, by every method.

    Attributes:
        data: What is learned.
        models: Who teaches and who learns.
        train: How all of them are trained.
        method: What the methods are set to.
        methods: How students learn from weak labels.
    """

    data: Data
    models: Models
    train: Training
    method: Method
    methods: list[str] = Field(min_length=1)

    @field_validator("methods")
    @classmethod
    def _possible(cls, values: list[str], info: ValidationInfo) -> list[str]:
        return possible(values, METHODS, info.data.get("method"))
