"""What models are asked and what they answer, whichever backend asks them; no torch in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "eos", "length"]


@dataclass(frozen=True, slots=True)
class Row:
    """An input to classify: a text, or two texts to be judged together (`pair` is not empty)."""

    text: str
    pair: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A prompt and a given completion of it, to be scored."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue a prompt.

    Attributes:
        prompt: What to continue, not empty.
        samples: How many continuations, >= 1.
        max_new_tokens: Tokens of each at most, >= 1.
        temperature: Divides the logits, >= 0; 0 takes the most probable token (greedy).
        top_p: Keeps the smallest set of tokens whose probability reaches this, in (0, 1].
        seed: Makes sampling repeatable, in [0, 2^32); None for another result each time.
        stop: Texts that end a continuation; the text itself is left out of it.
    """

    prompt: str
    samples: int = 1
    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more of one continuation.

    Attributes:
        sample: Which continuation, in [0, samples).
        text: What follows the pieces before it; may be empty.
        tokens: Tokens generated since the piece before, the ending one included.
        finish_reason: Set on the last piece of each continuation: `stop` a stop text,
            `eos` the model's own end, `length` the limit of tokens.
    """

    sample: int
    text: str
    tokens: int
    finish_reason: FinishReason | None = None
