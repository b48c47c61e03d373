"""The settings of a delta learning experiment."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from pipelines.language import Fitting, Questions, Writing
from pipelines.plans import BasePlan, Frozen, Model, among, distinct
from w2s.tasks import SplitSizes

DELTA, REVERSED, TIED, SFT = "delta", "reversed", "tied", "sft"
ARMS = (DELTA, REVERSED, TIED, SFT)
STUDENT = "student"
_TIED_SAMPLES = 2


class Prompts(Questions):
    """What is answered.

    Attributes:
        warm_rows: Questions with solutions to warm up on; they are in no other split.
        train_rows: Questions that teachers answer.
    """

    warm_rows: int = Field(ge=1)

    @property
    def sizes(self) -> SplitSizes:
        """Rows of each split."""
        return super().sizes.model_copy(update={"weak_train": self.warm_rows})


class Models(Frozen):
    """Who answers and who learns.

    Attributes:
        teachers: From small to large: of every two, the larger one's answers are preferred.
        student: Learns from pairs of their answers, and may be better than all of them.
    """

    teachers: list[Model] = Field(min_length=2)
    student: Model

    @field_validator("teachers")
    @classmethod
    def _distinct(cls, values: list[Model]) -> list[Model]:
        return distinct(values)


class Warm(Frozen):
    """Fine-tuning on ground truth before the experiment, for models that cannot answer yet.

    Attributes:
        teacher_epochs: Passes of the teachers; 0 leaves them as they are.
        student_epochs: Passes of the student; 0 likewise.
    """

    teacher_epochs: int = Field(ge=0)
    student_epochs: int = Field(ge=0)


class Preference(Frozen):
    """Length-normalised DPO.

    Attributes:
        beta: How closely the student keeps to where it began.
        learning_rate: Peak learning rate; the published ones are 5e-8 to 1e-7.
        epochs: Passes over the pairs.
    """

    beta: float = Field(gt=0)
    learning_rate: float = Field(gt=0, le=1)
    epochs: int = Field(ge=1)


class Plan(BasePlan):
    """Teachers answer greedily; a student prefers the larger one's answers.

    Attributes:
        data: What is answered.
        models: Who answers and who learns.
        warm: What comes before.
        train: How warming up and the control are trained.
        write: How teachers write; `tied` draws two samples of the larger one.
        preference: How preferences are learned.
        arms: delta, the larger teacher's answers over the smaller one's; reversed; tied, two answers of the larger
            one; sft, the control: the larger one's answers alone.
        ladder: Every two teachers; otherwise the smallest and the largest.
        benchmarks: Tasks of the evaluation harness, before and after; none when empty.
    """

    data: Prompts
    models: Models
    warm: Warm
    train: Fitting
    write: Writing
    preference: Preference
    arms: list[str] = Field(min_length=1)
    ladder: bool
    benchmarks: list[str]

    @field_validator("arms")
    @classmethod
    def _possible(cls, values: list[str], info: ValidationInfo) -> list[str]:
        write = info.data.get("write")
        if TIED in values and write and write.samples < _TIED_SAMPLES:
            raise ValueError("tied needs write_samples to be 2 at least")
        return among(values, ARMS)

    @property
    def rungs(self) -> list[tuple[int, int]]:
        """(chosen, rejected) places in the list of teachers."""
        count = len(self.models.teachers)
        every = [(larger, smaller) for larger in range(count) for smaller in range(larger)]
        return every if self.ladder else [(count - 1, 0)]
