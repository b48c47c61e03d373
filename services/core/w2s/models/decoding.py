"""Continues a prompt token by token, several samples at once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.cache_utils import Cache
from transformers.generation.logits_process import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from w2s.errors import Internal
from w2s.models.inputs import FinishReason, Piece, Sampling
from w2s.models.language_model import LanguageModel
from w2s.models.text_stream import TextStream


class SamplingDecoder:
    """Samples in the making; a step is one forward over all that go on.

    Each sample draws from a generator of its own, seeded with the sampling's seed and the
    sample's number: what it becomes depends neither on how many there are nor on anything
    else that draws.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompt: The prompt's tokens, at least one.
        sampling: How to continue; its prompt is not looked at.
        ends: Tokens that end a sample.
        room: Tokens that the model can read after the prompt, >= 1; a sample that fills it
            ends with `length`.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Sequence[int],
        sampling: Sampling,
        ends: frozenset[int],
        room: int,
    ) -> None:
        self._model = model
        self._warpers: Any = _warpers(sampling)
        self._greedy = sampling.temperature == 0
        tokens = min(sampling.max_new_tokens, room)
        self._going = [
            _Sample(index, TextStream(tokenizer, prompt, sampling.stop), ends, tokens)
            for index in range(sampling.samples)
        ]
        self._generators = _generators(sampling, model.device)
        self._ids = torch.tensor([list(prompt)], device=model.device)
        self._cache: Cache | None = None

    @property
    def done(self) -> bool:
        """Whether every sample has ended."""
        return not self._going

    @torch.inference_mode()
    def step(self) -> list[Piece]:
        """Generates one token of every sample that goes on; see `Decoder`."""
        if self.done:
            return []
        tokens = self._choose(self._logits())
        pieces = [sample.take(token) for sample, token in zip(self._going, tokens, strict=True)]
        kept = [row for row, sample in enumerate(self._going) if not sample.ended]
        self._keep(kept, tokens)
        return [piece for piece in pieces if piece is not None]

    def _logits(self) -> Tensor:
        """Logits of each sample's next token, shape [S, V]."""
        first = self._cache is None
        hidden, self._cache = self._model.extend(self._ids, self._cache)
        logits = self._model.logits(hidden)
        if first and len(self._going) > 1:
            # The prompt was read once for all samples.
            self._cache.batch_repeat_interleave(len(self._going))
            logits = logits.expand(len(self._going), -1)
        return logits

    def _choose(self, logits: Tensor) -> list[int]:
        if logits.isnan().any():
            raise Internal("the model gives numbers that are not finite for this prompt")
        if self._greedy:
            return list(logits.argmax(dim=-1).tolist())
        # Logarithms of probabilities are 0 at most: no small temperature makes them overflow.
        scores: Tensor = self._warpers(self._ids, logits.log_softmax(dim=-1))
        probabilities = scores.softmax(dim=-1)
        return [
            int(torch.multinomial(row, 1, generator=self._generators[sample.index]))
            for row, sample in zip(probabilities, self._going, strict=True)
        ]

    def _keep(self, rows: list[int], tokens: list[int]) -> None:
        if len(rows) < len(self._going):
            self._going = [self._going[row] for row in rows]
            if not rows:
                self._cache = None
                return
            assert self._cache is not None
            self._cache.batch_select_indices(torch.tensor(rows, device=self._model.device))
        self._ids = torch.tensor([[tokens[row]] for row in rows], device=self._model.device)


class _Sample:
    """One continuation."""

    def __init__(self, index: int, text: TextStream, ends: frozenset[int], tokens: int) -> None:
        self.index = index
        self.ended = False
        self._text = text
        self._ends = ends
        self._tokens_left = tokens
        self._untold = 0

    def take(self, token: int) -> Piece | None:
        """Takes a token; gives a piece when there is text to tell, or the end."""
        self._tokens_left -= 1
        self._untold += 1
        text, reason = self._end(token)
        self.ended = reason is not None
        if not text and not self.ended:
            return None
        tokens, self._untold = self._untold, 0
        return Piece(self.index, text, tokens, reason)

    def _end(self, token: int) -> tuple[str, FinishReason | None]:
        if token in self._ends:
            text = self._text.close()
            return text, "stop" if self._text.stopped else "eos"
        text = self._text.push(token)
        if self._text.stopped:
            return text, "stop"
        if self._tokens_left == 0:
            text += self._text.close()
            return text, "stop" if self._text.stopped else "length"
        return text, None


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if sampling.temperature not in (0, 1):
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(float(sampling.top_p)))
    return warpers


def _generators(sampling: Sampling, device: torch.device) -> list[torch.Generator]:
    seed = secrets.randbits(64) if sampling.seed is None else sampling.seed
    states = [
        np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] for index in range(sampling.samples)
    ]
    return [torch.Generator(device=device).manual_seed(int(state)) for state in states]
