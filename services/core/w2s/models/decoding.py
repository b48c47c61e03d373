"""Continues prompts token by token, several samples at once."""

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
        model: The model; one that `pads_before`, for prompts of several lengths.
        tokenizer: Its tokenizer.
        prompts: The tokens of each prompt, at least one prompt of at least one.
        samplings: How to continue each, alike but for prompt, samples and seed; their prompts
            are not looked at. Samples are numbered through.
        ends: Tokens that end a sample.
        limit: Tokens that the model can read, more than any prompt has; a sample that fills it
            ends with `length`.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Sequence[int]],
        samplings: Sequence[Sampling],
        ends: frozenset[int],
        limit: int,
    ) -> None:
        self._model = model
        self._warpers: Any = _warpers(samplings[0])
        self._greedy = samplings[0].temperature == 0
        # The prompt of each sample.
        self._of = [at for at, sampling in enumerate(samplings) for _ in range(sampling.samples)]
        self._going = [
            _Sample(
                index,
                TextStream(tokenizer, prompts[at], samplings[at].stop),
                ends,
                min(samplings[at].max_new_tokens, limit - len(prompts[at])),
            )
            for index, at in enumerate(self._of)
        ]
        self._generators = [one for sampling in samplings for one in _generators(sampling, model.device)]
        self._ids, self._mask = _padded(prompts, model.device)
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
        hidden, self._cache = self._model.extend(self._ids, self._cache, self._mask)
        logits = self._model.logits(hidden)
        if first and self._of != list(range(len(logits))):
            # Each prompt was read once for all its samples.
            rows = torch.tensor(self._of, device=self._model.device)
            self._cache.batch_select_indices(rows)
            logits = logits[rows]
            self._mask = None if self._mask is None else self._mask[rows]
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
            kept = torch.tensor(rows, device=self._model.device)
            self._cache.batch_select_indices(kept)
            self._mask = None if self._mask is None else self._mask[kept]
        self._ids = torch.tensor([[tokens[row]] for row in rows], device=self._model.device)
        if self._mask is not None:
            self._mask = torch.cat([self._mask, torch.ones_like(self._ids)], dim=1)


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


def _padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Prompts in one tensor, shape [P, T], padded before the first token, and a mask where any is padded."""
    width = max(map(len, prompts))
    ids = [[*[0] * (width - len(prompt)), *prompt] for prompt in prompts]
    if all(len(prompt) == width for prompt in prompts):
        return torch.tensor(ids, device=device), None
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


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
