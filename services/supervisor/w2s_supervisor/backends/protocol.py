"""The one contract of every backend, and the values that pass through it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

import numpy as np
from numpy.typing import NDArray

from w2s.errors import FailedPrecondition, W2SError
from w2s.models.inputs import Completion, Piece, Row, Sampling


class Ability(StrEnum):
    """What a teacher can be asked; the values are the names of the proto enum."""

    LABEL = "ABILITY_LABEL"
    SCORE = "ABILITY_SCORE"
    COMPARE = "ABILITY_COMPARE"
    GENERATE = "ABILITY_GENERATE"


class Lane(Enum):
    """How a question waits when the teacher is busy.

    ONLINE is refused when too many rows wait, STREAM waits for room (back-pressure), BULK
    makes batches of its own that take turns with everybody else's.
    """

    ONLINE = "online"
    STREAM = "stream"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row's label.

    Attributes:
        logits: Shape [C], float32, finite or -inf; log-probabilities where only those are known.
        probabilities: Shape [C], float32, summing to 1.
        tokens: Tokens that a server elsewhere read for it; the queues of models here count theirs.
        disagreement: The share of an ensemble that votes for another class, in [0, 1]; None
            for other backends.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    tokens: int = 0
    disagreement: float | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion's score: exactly one of the two is set.

    Attributes:
        token_log_likelihoods: log p of each of its tokens, shape [T], T >= 1, float32, nats.
        reward: A reward model's output.
    """

    token_log_likelihoods: NDArray[np.float32] | None = None
    reward: float | None = None

    def value(self, length_normalized: bool) -> float:
        """What completions are compared by: the reward, or the summed (or mean) log-likelihood."""
        if self.token_log_likelihoods is None:
            assert self.reward is not None
            return self.reward
        values = self.token_log_likelihoods.astype(np.float64)
        return float(values.mean() if length_normalized else values.sum())


@dataclass(frozen=True, slots=True)
class Preferred:
    """How two completions compare.

    Attributes:
        probability_a: P(A better than B), in [0, 1].
        score_a: What A was compared by; None for an ensemble.
        score_b: What B was compared by; None for an ensemble.
        disagreement: As in `Labelled`.
    """

    probability_a: float
    score_a: float | None = None
    score_b: float | None = None
    disagreement: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a teacher is, fixed when it is registered.

    Attributes:
        revision: Where its weights came from: a training run, a commit, a server's word.
        digest: `sha256:` and 64 hex digits over all that decides its answers.
        label_names: Its classes; empty when it cannot label.
        abilities: What it can be asked.
        source_digest: `sha256:` and 64 hex digits over the model's files alone; empty for a
            teacher that is not in this process.
    """

    revision: str
    digest: str
    label_names: tuple[str, ...]
    abilities: frozenset[Ability]
    source_digest: str = ""


class Backend:
    """A teacher that is ready to answer. What a backend cannot do, it leaves as it is here.

    Every answer is a list in the order of the questions. A row that cannot be answered is an
    error in its place, and the others are not touched; an error that is raised concerns all.

    Attributes:
        needs_pairs: Every row must have a second text.
    """

    needs_pairs: bool = False

    async def label(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        """Labels rows, N >= 1.

        Raises:
            ResourceExhausted: Too many rows wait (ONLINE).
            Unavailable, DeadlineExceeded: A server does not answer.
        """
        raise FailedPrecondition("this teacher cannot label")

    async def score(self, completions: Sequence[Completion], lane: Lane) -> list[Scored | W2SError]:
        """Scores completions, N >= 1; errors as `label`."""
        raise FailedPrecondition("this teacher cannot score")

    async def compare(
        self, pairs: Sequence[tuple[Completion, Completion]], length_normalized: bool, lane: Lane
    ) -> list[Preferred | W2SError]:
        """Compares pairs of completions of one prompt by their scores; errors as `label`."""
        scores = await self.score([completion for pair in pairs for completion in pair], lane)
        return [prefer(a, b, length_normalized) for a, b in zip(scores[::2], scores[1::2], strict=True)]

    def generate(self, *samplings: Sampling) -> AsyncGenerator[Piece, None]:
        """Continues prompts, piece by piece; errors as `label`. Closing it ends the work.

        Args:
            samplings: How to continue each, alike but for prompt and seed; their samples are numbered through.
        """
        raise FailedPrecondition("this teacher cannot generate")

    async def close(self) -> None:
        """Frees what it holds; called once, when no question is in flight any more."""


def prefer(a: Scored | W2SError, b: Scored | W2SError, length_normalized: bool) -> Preferred | W2SError:
    """P(A better than B) = sigmoid(s_A - s_B), from two scores of one teacher.

    Source: Bradley & Terry 1952; with log-likelihoods as scores it is the preference of the
    language model itself.
    """
    if isinstance(a, W2SError):
        return a
    if isinstance(b, W2SError):
        return b
    score_a, score_b = a.value(length_normalized), b.value(length_normalized)
    # 0.5 (1 + tanh(x / 2)) is the sigmoid without overflow.
    return Preferred(0.5 * (1 + float(np.tanh(0.5 * (score_a - score_b)))), score_a, score_b)
