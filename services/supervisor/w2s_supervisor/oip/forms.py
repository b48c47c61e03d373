"""What teachers are asked and answer over the protocol, tensor by tensor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.models.inputs import Completion, Row
from w2s_supervisor.backends.protocol import Ability, Labelled, Lane, Scored
from w2s_supervisor.desk import Target
from w2s_supervisor.limits import Limits
from w2s_supervisor.oip.desk import Desk
from w2s_supervisor.teachers import Teacher

T = TypeVar("T")

Outputs = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Tensor:
    """A tensor as metadata describes it; -1 in a shape stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """A request's texts.

    Attributes:
        texts: By the input's name, each of length N >= 1; optional inputs may be missing.
        place: How the request calls the text of an input at an index, or at `{}` for any.
    """

    texts: Mapping[str, list[str]]
    place: Callable[[str, int | str], str]


class Form(Protocol):
    """A kind of question."""

    @property
    def required(self) -> tuple[str, ...]:
        """The inputs that every request has."""

    @property
    def optional(self) -> tuple[str, ...]:
        """The inputs that a request may have."""

    def outputs(self, teacher: Teacher) -> list[Tensor]:
        """What a teacher answers."""

    async def ask(self, desk: Desk, target: Target, columns: Columns) -> tuple[Teacher, Outputs]:
        """Puts N questions; every output has N rows. An error of one is the error of all."""


class LabelForm:
    """Texts, or pairs of texts, are classified."""

    required = ("text",)
    optional = ("text_pair",)

    def outputs(self, teacher: Teacher) -> list[Tensor]:
        """As `Form.outputs`."""
        return [
            Tensor("probabilities", "FP32", (-1, len(teacher.label_names))),
            Tensor("label", "INT64", (-1,)),
            Tensor("confidence", "FP32", (-1,)),
        ]

    async def ask(self, desk: Desk, target: Target, columns: Columns) -> tuple[Teacher, Outputs]:
        """As `Form.ask`."""
        texts = columns.texts["text"]
        pairs = columns.texts.get("text_pair") or [""] * len(texts)
        rows = [Row(text, pair) for text, pair in zip(texts, pairs, strict=True)]
        answer = await desk.label(target, rows, Lane.ONLINE, columns.place("text_pair", "{}"))
        labelled: list[Labelled] = _whole(answer.values, columns, self.required[0])
        probabilities = np.stack([label.probabilities for label in labelled])
        return answer.teacher, {
            "probabilities": probabilities,
            "label": probabilities.argmax(axis=1),
            "confidence": probabilities.max(axis=1),
        }


class ScoreForm:
    """Given completions are scored: a reward, or the log-likelihood in nats, summed over tokens."""

    required = ("prompt", "completion")
    optional = ()

    def outputs(self, teacher: Teacher) -> list[Tensor]:
        """As `Form.outputs`."""
        return [Tensor("score", "FP64", (-1,))]

    async def ask(self, desk: Desk, target: Target, columns: Columns) -> tuple[Teacher, Outputs]:
        """As `Form.ask`."""
        pairs = zip(columns.texts["prompt"], columns.texts["completion"], strict=True)
        answer = await desk.score(target, [Completion(*pair) for pair in pairs], Lane.ONLINE)
        scored: list[Scored] = _whole(answer.values, columns, self.required[0])
        return answer.teacher, {"score": np.array([score.value(length_normalized=False) for score in scored])}


_LABEL, _SCORE = LabelForm(), ScoreForm()


def form_of(teacher: Teacher) -> Form:
    """What a teacher is asked: for labels, or for scores where it has no labels.

    Raises:
        FailedPrecondition: It gives neither.
    """
    if Ability.LABEL in teacher.abilities:
        return _LABEL
    if Ability.SCORE in teacher.abilities:
        return _SCORE
    raise FailedPrecondition(f"{teacher.name} neither labels nor scores: this protocol has no way to ask it")


def check_inputs(form: Form, names: Sequence[str], place: str = "") -> None:
    """Checks which inputs a request has.

    Raises:
        InvalidArgument: One is missing, unknown, or there twice.
    """
    known = (*form.required, *form.optional)
    for name in names:
        if name not in known:
            raise InvalidArgument(f"{place}{name}", f"is not known; the inputs are {', '.join(known)}")
        if names.count(name) > 1:
            raise InvalidArgument(f"{place}{name}", "is there more than once")
    for name in form.required:
        if name not in names:
            raise InvalidArgument(f"{place}{name}", "is required")


def check_texts(form: Form, columns: Columns, limits: Limits) -> None:
    """Checks how many texts there are, and how long they are.

    Raises:
        InvalidArgument: There are too many, they are too long, or one that is required is empty.
    """
    first = form.required[0]
    limits.check_rows(first, [str(index) for index in range(len(columns.texts[first]))])
    texts = [(columns.place(name, i), text) for name, column in columns.texts.items() for i, text in enumerate(column)]
    limits.check_texts(texts)
    for name in form.required:
        for index, text in enumerate(columns.texts[name]):
            if not text:
                raise InvalidArgument(columns.place(name, index), "is empty")


def _whole(values: Sequence[T | W2SError], columns: Columns, name: str) -> list[T]:
    """The values, when none is an error; the protocol has no place for the error of a row."""
    whole = []
    for index, value in enumerate(values):
        if isinstance(value, W2SError):
            raise _placed(value, columns, name, index)
        whole.append(value)
    return whole


def _placed(error: W2SError, columns: Columns, name: str, index: int) -> W2SError:
    if isinstance(error, InvalidArgument):
        named = error.field if error.field in columns.texts else name
        return InvalidArgument(columns.place(named, index), error.problem)
    placed = copy.copy(error)
    placed.message = f"{columns.place(name, index)}: {error.message}"
    placed.args = (placed.message,)
    return placed
