"""How a server continues a prompt with the toy model: greedily, by sampling, or as a grammar lets it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from support.text_generation.language import EOS, ToyModel, decode, log_softmax

_ALTERNATIVES = re.compile(r"\((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Settings:
    """How to continue.

    Attributes:
        limit: Tokens at most.
        sample: Draw tokens; otherwise take the most probable.
        temperature: Divides the logits.
        top_k: Keeps so many of the most probable tokens; all when None.
        top_p: Keeps the smallest set of tokens whose probability reaches this.
        seed: Makes the draw repeatable.
        stop: Texts that end the continuation.
        top_n: How many of the most probable tokens to list at each step.
        answers: The only texts that may come out; any when empty.
    """

    limit: int
    sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_n: int = 0
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One more token. `finish` is set on the last: `eos_token`, `stop_sequence` or `length`."""

    token: int
    log_probability: float
    top: list[tuple[int, float]] = field(default_factory=list)
    finish: str | None = None

    @property
    def special(self) -> bool:
        return self.token == EOS

    @property
    def text(self) -> str:
        return decode(self.token)


def continued(model: ToyModel, prompt: list[int], settings: Settings) -> Iterator[Step]:
    """The steps of a continuation."""
    draw = random.Random(settings.seed)
    tokens, text = list(prompt), ""
    for count in range(1, settings.limit + 1):
        values = log_softmax(_allowed(model.logits(tokens) / settings.temperature, text, settings.answers))
        token = _drawn(values, settings, draw) if settings.sample else int(values.argmax())
        tokens.append(token)
        text += "" if token == EOS else decode(token)
        finish = _finish(token, text, settings.stop, last=count == settings.limit)
        yield Step(token, float(np.float32(values[token])), _top(values, settings.top_n), finish)
        if finish:
            return


def alternatives(pattern: str) -> tuple[str, ...]:
    """The texts that a regex such as `(yes|no)` matches; ValueError for any other kind of regex."""
    whole = _ALTERNATIVES.fullmatch(pattern)
    if whole is None:
        raise ValueError("not an alternation")
    parts = re.split(r"(?<!\\)\|", whole[1])
    texts = tuple(re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts)
    if any(re.fullmatch(part, text) is None for part, text in zip(parts, texts, strict=True)):
        raise ValueError("not an alternation of plain texts")
    return texts


def _allowed(logits: np.ndarray, text: str, answers: tuple[str, ...]) -> np.ndarray:
    # As an FSM does it: a token passes when some answer goes on with it, the end when one is complete.
    if not answers:
        return logits
    passes = [any(answer.startswith(text + decode(token)) for answer in answers) for token in range(len(logits))]
    passes[EOS] = text in answers
    return np.where(passes, logits, -np.inf)


def _drawn(values: np.ndarray, settings: Settings, draw: random.Random) -> int:
    order = np.argsort(-values)[: settings.top_k]
    powers = np.exp(values[order])
    reached = np.cumsum(powers / powers.sum())
    kept = order[: int(np.searchsorted(reached, settings.top_p)) + 1]
    weights = np.exp(values[kept])
    return int(draw.choices(kept.tolist(), weights.tolist())[0])


def _top(values: np.ndarray, count: int) -> list[tuple[int, float]]:
    # A masked token is not listed, so that the list may be shorter than asked for.
    order = np.argsort(-values)[:count]
    return [(int(token), float(np.float32(values[token]))) for token in order if np.isfinite(values[token])]


def _finish(token: int, text: str, stop: tuple[str, ...], *, last: bool) -> str | None:
    if token == EOS:
        return "eos_token"
    if any(text.endswith(ending) for ending in stop):
        return "stop_sequence"
    return "length" if last else None
