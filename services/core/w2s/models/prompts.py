"""Turns an example into a prompt whose answers a language model weighs; no torch in here."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, model_validator

from w2s.models.inputs import Row

_PLACEHOLDER = re.compile(r"\{(text|text_pair)\}")


class Shot(BaseModel):
    """An answered example that stands before the question.

    Attributes:
        text: Its first text.
        text_pair: Its second text, or empty.
        label: The class it has: an index into the template's `answers`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1)
    text_pair: str = ""
    label: int = Field(default=0, ge=0)


class PromptTemplate(BaseModel):
    """How a classification example is put to a language model.

    The class probabilities are softmax over classes of log p(answer | prompt), summed over
    the answer's tokens, or their mean where `length_normalized` (Brown et al. 2020, "Language
    Models are Few-Shot Learners", section 2.4).

    Attributes:
        template: The question; `{text}` and `{text_pair}` stand for the example's texts and
            nothing else is special. It must hold `{text}`.
        answers: What the model says for each class, in the order of `label_names`, with the
            space that sets it apart from the prompt, such as ` yes`.
        label_names: The classes.
        shots: Answered examples that stand before the question.
        separator: What stands between shots.
        length_normalized: Divides an answer's log-probability by its tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = Field(min_length=1, max_length=20_000)
    answers: tuple[str, ...] = Field(min_length=2, max_length=64)
    label_names: tuple[str, ...] = Field(min_length=2, max_length=64)
    shots: tuple[Shot, ...] = Field(default=(), max_length=64)
    separator: str = Field(default="\n\n", max_length=100)
    length_normalized: bool = False

    @model_validator(mode="after")
    def _fits(self) -> PromptTemplate:
        if "{text}" not in self.template:
            raise ValueError("template must hold {text}, where the example's text goes")
        if len(self.answers) != len(self.label_names):
            raise ValueError(f"answers has {len(self.answers)} entries and label_names {len(self.label_names)}")
        for name, values in (("answers", self.answers), ("label_names", self.label_names)):
            if "" in values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be distinct and not empty")
        if any(shot.label >= len(self.answers) for shot in self.shots):
            raise ValueError(f"shots must have labels in [0, {len(self.answers) - 1}]")
        return self

    @property
    def needs_pairs(self) -> bool:
        """Whether every example must have a second text."""
        return "{text_pair}" in self.template

    def render(self, row: Row) -> str:
        """The prompt for an example: the shots with their answers, then its question."""
        parts = [self._fill(shot.text, shot.text_pair) + self.answers[shot.label] for shot in self.shots]
        return self.separator.join([*parts, self._fill(row.text, row.pair)])

    def _fill(self, text: str, pair: str) -> str:
        # In one pass: a text that holds a placeholder itself stays as it is.
        values = {"text": text, "text_pair": pair}
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.template)
