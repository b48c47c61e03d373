"""The contract of models in memory: rows and completions in, arrays out, batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from w2s.errors import FailedPrecondition, W2SError
from w2s.models.inputs import Completion, Piece, Row, Sampling

# `auto` is bfloat16 on a GPU and float32 on a CPU.
DType = Literal["auto", "float32", "bfloat16"]


class Item(Protocol):
    """A token sequence that a model reads once; items that are equal have equal results."""

    @property
    def length(self) -> int:
        """Its tokens, >= 1: what a batch's budget counts."""

    def __hash__(self) -> int: ...

    def __eq__(self, other: object, /) -> bool: ...


class Decoder(Protocol):
    """Continuations of one prompt in the making. One thread at a time may use it."""

    @property
    def done(self) -> bool:
        """Whether every continuation has ended."""

    def step(self) -> list[Piece]:
        """Generates one token of every continuation that goes on; nothing once done.

        Returns:
            What can be told for sure, in the order of the samples: none for a continuation
            whose next text depends on tokens to come.
        """


class Engine(ABC):
    """A model in memory.

    Encoding belongs to a tokenizer thread, and `run` and decoders to a model thread: the two
    may go on at once, but each in one thread at a time. `logits` may run in any. What a row
    or completion gives does not depend on what shares its batch, beyond rounding. What a
    model cannot do raises FailedPrecondition.

    Attributes:
        label_names: The classes in the order of the logits; empty when it cannot label.
        needs_pairs: Whether every row must have a second text, which callers check.
        scores: Whether it scores completions.
        rewards: Whether a score is a reward, rather than log-likelihoods.
        generates: Whether it continues prompts.
        batches: Whether a decoder takes several prompts.
    """

    label_names: tuple[str, ...] = ()
    needs_pairs: bool = False
    scores: bool = False
    rewards: bool = False
    generates: bool = False

    @property
    def batches(self) -> bool:
        """As described above; it may have to be tried out."""
        return False

    def encode_rows(self, rows: Sequence[Row]) -> list[list[Item] | W2SError]:
        """What each row has the model read; an error stands for a row that cannot be read."""
        raise FailedPrecondition("this model gives no class probabilities")

    def encode_completions(self, completions: Sequence[Completion]) -> list[Item | W2SError]:
        """What each completion has the model read; an error stands for one that cannot be read."""
        raise FailedPrecondition("this model scores no completions")

    @abstractmethod
    def run(self, batch: Sequence[Item]) -> list[NDArray[np.float32]]:
        """Reads a batch, whatever the items were encoded from.

        Args:
            batch: At least one item of this engine; the caller bounds its padded tokens.

        Returns:
            One array an item. For a completion: its reward, shape [1], or the
            log-likelihoods of its tokens in nats, shape [T]. For a part of a row: what
            `logits` takes.
        """

    def logits(self, parts: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Logits of rows, shape [N, C]; class probabilities are their softmax.

        Args:
            parts: For each of N >= 1 rows, the arrays of its items, in their order.
        """
        raise FailedPrecondition("this model gives no class probabilities")

    def decoder(self, *samplings: Sampling) -> Decoder:
        """Begins continuations of a prompt, or of several where it `batches`.

        Args:
            samplings: How to continue each, alike but for prompt, samples and seed; the samples of
                all are numbered through.

        Raises:
            InvalidArgument: A prompt leaves no room in the model's context.
        """
        raise FailedPrecondition("this model continues no prompts")
