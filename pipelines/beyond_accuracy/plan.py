"""The settings of an experiment beyond accuracy: safety, toxicity and legal reasoning."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipelines.methods import BOOTSTRAPPING, CONFIDENCE, NAIVE, Method, possible
from pipelines.plans import BasePlan, Frozen, Model, Rows, Training, among, one_of
from w2s.tasks import SplitSizes, list_tasks

SAFETY, TOXICITY, LEGAL = "safety", "toxicity", "legal"
PARTS = (SAFETY, TOXICITY, LEGAL)
METHODS = (NAIVE, CONFIDENCE, BOOTSTRAPPING)
WEAK, CEILING = "weak", "ceiling"
WHOLE = "all"


class Safety(Rows):
    """The safety part.

    Attributes:
        task: The task's name in the registry.
        train_rows: Rows of the weak model's split, and of the transfer split.
        validation_rows: Rows of the split that training curves are drawn on.
        test_rows: Rows of the test split.
    """

    task: str = one_of(*(task.name for task in list_tasks(kind="classification", family="safety")))


class Legal(Rows):
    """The legal part; settings as those of the safety part."""

    task: str = one_of(*(task.name for task in list_tasks(kind="classification", family="legal")))


class Toxicity(Frozen):
    """The toxicity part: language models, which continue prompts.

    Attributes:
        task: The task's name in the registry.
        weak: The supervisor.
        strong: The student, and the ceiling.
        train_rows: Prompts of the weak model's split, and of the transfer split, before the slice is taken.
        test_rows: Prompts of the test split, likewise.
        learn_slice: The slice that models learn from, such as prompts that are not toxic.
        test_slice: The slice that they are tested on.
        epochs: Passes over the data.
        batch_size: Texts a step.
        learning_rate: Peak learning rate.
        max_length: Tokens a text is cut to.
        max_new_tokens: Tokens of a continuation at most, in labels and in tests.
        samples: Continuations of each prompt, in tests.
        temperature: Divides the logits, in tests; labels are the most probable tokens.
        top_p: Samples from the smallest set of tokens whose probability reaches this, in tests.
        seeds: How many of the seeds it is done with, the first ones; sampling is dear.
    """

    task: str = one_of(*(task.name for task in list_tasks(kind="completions", family="toxicity")))
    weak: Model
    strong: Model
    train_rows: int = Field(ge=1)
    test_rows: int = Field(ge=1)
    learn_slice: str = one_of("nontoxic", "toxic", WHOLE)
    test_slice: str = one_of("nontoxic", "toxic", WHOLE)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    max_length: int = Field(ge=1)
    max_new_tokens: int = Field(ge=1, le=8192)
    samples: int = Field(ge=1, le=256)
    temperature: float = Field(gt=0, le=100)
    top_p: float = Field(gt=0, le=1)
    seeds: int = Field(ge=1)

    @property
    def sizes(self) -> SplitSizes:
        """Rows of each split, before slices are taken; nothing is chosen on the validation split."""
        return SplitSizes(weak_train=self.train_rows, transfer=self.train_rows, validation=1, test=self.test_rows)

    @property
    def slices(self) -> dict[str, str]:
        """The slice that is kept of each split."""
        kept = {"weak_train": self.learn_slice, "transfer": self.learn_slice, "test": self.test_slice}
        return {split: slice_ for split, slice_ in kept.items() if slice_ != WHOLE}

    @model_validator(mode="after")
    def _a_gap(self) -> Toxicity:
        if self.weak == self.strong:
            raise ValueError("weak and strong are one model")
        return self


class Models(Frozen):
    """Who teaches and who learns where texts are classified.

    Attributes:
        weak: The supervisor.
        strong: The student, and the ceiling.
    """

    weak: Model
    strong: Model

    @model_validator(mode="after")
    def _a_gap(self) -> Models:
        if self.weak == self.strong:
            raise ValueError("weak and strong are one model")
        return self


class Plan(BasePlan):
    """Weak-to-strong beyond accuracy: a weak model teaches a strong one in up to three parts.

    Attributes:
        parts: What is done.
        safety: The safety part.
        legal: The legal part.
        toxicity: The toxicity part.
        models: Who teaches and who learns safety and law.
        train: How these are trained.
        method: What the methods are set to.
        methods: How students learn safety and law; toxicity is learned the naive way alone.
    """

    parts: list[str] = Field(min_length=1)
    safety: Safety
    legal: Legal
    toxicity: Toxicity
    models: Models
    train: Training
    method: Method
    methods: list[str] = Field(min_length=1)

    @field_validator("parts")
    @classmethod
    def _known_parts(cls, values: list[str]) -> list[str]:
        return among(values, PARTS)

    @field_validator("methods")
    @classmethod
    def _possible(cls, values: list[str], info: ValidationInfo) -> list[str]:
        return possible(values, METHODS, info.data.get("method"))

    def seeds_of(self, part: str) -> list[int]:
        """The seeds that a part is done with."""
        return self.seeds[: self.toxicity.seeds] if part == TOXICITY else self.seeds

    def methods_of(self, part: str) -> list[str]:
        """The methods that a part is done with."""
        return [NAIVE] if part == TOXICITY else self.methods

    def settings_of(self, part: str) -> Safety | Legal | Toxicity:
        """The settings of a part."""
        by_part: dict[str, Safety | Legal | Toxicity] = {SAFETY: self.safety, LEGAL: self.legal}
        return by_part.get(part, self.toxicity)

    def task_of(self, part: str) -> str:
        """The task of a part."""
        return self.settings_of(part).task

    def models_of(self, part: str) -> tuple[Model, Model]:
        """The weak model and the strong one of a part."""
        pair = self.toxicity if part == TOXICITY else self.models
        return pair.weak, pair.strong
