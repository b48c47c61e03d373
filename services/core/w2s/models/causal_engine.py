"""Causal language models, as engines: log-likelihoods, answers to prompts, and continuations."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s.errors import InvalidArgument, W2SError
from w2s.models.architecture import end_ids, position_limit, render_chat
from w2s.models.decoding import SamplingDecoder
from w2s.models.engine import Decoder, Engine, Item
from w2s.models.inputs import Completion, Row, Sampling
from w2s.models.language_model import LanguageModel
from w2s.models.prompts import PromptTemplate
from w2s.models.tokens import affixes, each, pad_with, shared


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """A sequence whose last tokens are scored: those from `start` on, >= 1."""

    ids: tuple[int, ...]
    start: int

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.ids)

    @property
    def queries(self) -> tuple[Sequence[int], Sequence[int]]:
        """The positions that predict, rising, and the token that each is asked for."""
        return range(self.start - 1, len(self.ids) - 1), self.ids[self.start :]


@dataclass(frozen=True, slots=True)
class ChoiceItem:
    """A prompt, and the tokens that may come next."""

    ids: tuple[int, ...]
    choices: tuple[int, ...]

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.ids)

    @property
    def queries(self) -> tuple[Sequence[int], Sequence[int]]:
        """As `ScoredItem.queries`."""
        return [len(self.ids) - 1] * len(self.choices), self.choices


class CausalEngine(Engine):
    """Scores completions, continues prompts and, given a template, labels rows.

    An item gives log-probabilities in nats: of a completion's tokens, or of the tokens to
    choose from.

    Args:
        model: A causal language model, on its device and in its dtype.
        tokenizer: Its tokenizer.
        template: How rows are put to it; None when it does not label.
        chat_template: Puts prompts into the tokenizer's chat template, as a user's turn that
            the completion answers.

    Raises:
        ValueError: The architecture cannot be scored, or there is no chat template.
    """

    scores = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        template: PromptTemplate | None = None,
        *,
        chat_template: bool = False,
    ) -> None:
        self._model = LanguageModel(model)
        self._prompts = _Prompts(tokenizer, chat_template)
        # A tokenizer is for one thread, and decoders run in the model's.
        self._decoder_prompts = copy.deepcopy(self._prompts)
        self._limit = position_limit(model, tokenizer)
        self._ends = end_ids(getattr(model, "generation_config", None)) or end_ids(model.config)
        self._template = template
        self.generates = self._model.caches
        if template is not None:
            self.label_names = template.label_names
            self.needs_pairs = template.needs_pairs

    def encode_completions(self, completions: Sequence[Completion]) -> list[Item | W2SError]:
        """One sequence a completion; its tokens are those that prompt and completion together do not
        share with the prompt alone."""
        return [self._checked(item, "completion") for item in each(self._prompts.join, completions, "completion")]

    def encode_rows(self, rows: Sequence[Row]) -> list[list[Item] | W2SError]:
        """One sequence a row where every answer is one token, otherwise one an answer."""
        if self._template is None:
            return super().encode_rows(rows)
        return [
            answers if isinstance(answers, W2SError) else self._row(answers)
            for answers in each(self._answers, rows, "text")
        ]

    def run(self, batch: Sequence[Item]) -> list[NDArray[np.float32]]:
        """Log-probabilities, shape [T] or [K] each."""
        items = cast("Sequence[ScoredItem | ChoiceItem]", batch)
        sequences = [{"input_ids": item.ids, "attention_mask": (1,) * item.length} for item in items]
        inputs = {name: values.to(self._model.device) for name, values in pad_with(0, sequences).items()}
        hidden = self._model.read(inputs)
        queries = [item.queries for item in items]
        width = hidden.shape[1]
        asked = torch.tensor([row * width + at for row, (positions, _) in enumerate(queries) for at in positions])
        targets = torch.tensor([token for _, tokens in queries for token in tokens])
        places, rows = torch.unique_consecutive(asked.to(self._model.device), return_inverse=True)
        found = self._model.log_probabilities(hidden.flatten(0, 1)[places], rows, targets.to(self._model.device))
        return np.split(found.cpu().numpy(), np.cumsum([len(tokens) for _, tokens in queries])[:-1])

    def logits(self, parts: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Log-likelihoods of the answers, shape [N, C]: summed over tokens, or their mean."""
        if self._template is None:
            return super().logits(parts)
        total = np.mean if self._template.length_normalized else np.sum
        # A row's one array holds its one-token answers, which sum and mean leave as they are.
        return np.stack(
            [
                arrays[0] if len(arrays) == 1 else np.array([total(array, dtype=np.float64) for array in arrays])
                for arrays in parts
            ]
        ).astype(np.float32)

    @property
    def batches(self) -> bool:
        """Whether a decoder takes several prompts."""
        return self._model.pads_before

    def decoder(self, *samplings: Sampling) -> Decoder:
        """Begins continuations of prompts.

        Raises:
            InvalidArgument: A prompt leaves no room in the model's context, or cannot be read.
        """
        if not self.generates:
            return super().decoder(*samplings)
        prompts = []
        texts = [sampling.prompt for sampling in samplings]
        for index, prompt in enumerate(each(self._decoder_prompts.encode, texts, "prompts")):
            field = f"prompts[{index}]" if len(texts) > 1 else "prompts"
            if isinstance(prompt, InvalidArgument):
                raise InvalidArgument(field, prompt.problem)
            if isinstance(prompt, W2SError):
                raise prompt
            if len(prompt) >= self._limit:
                raise InvalidArgument(
                    field, f"has {len(prompt)} tokens; this model reads {self._limit} at most, with what follows"
                )
            prompts.append(prompt)
        return SamplingDecoder(
            self._model, self._decoder_prompts.tokenizer, prompts, samplings, self._ends, self._limit
        )

    def _answers(self, rows: Sequence[Row]) -> list[list[ScoredItem]]:
        assert self._template is not None
        answers = self._template.answers
        asked = [Completion(self._template.render(row), answer) for row in rows for answer in answers]
        items = self._prompts.join(asked)
        return [items[first : first + len(answers)] for first in range(0, len(items), len(answers))]

    def _row(self, answers: Sequence[ScoredItem]) -> list[Item] | W2SError:
        for answer in answers:
            if isinstance(checked := self._checked(answer, "text"), W2SError):
                return checked
        first = answers[0]
        if all(item.ids[:-1] == first.ids[: first.start] and item.start == first.start for item in answers):
            return [ChoiceItem(first.ids[: first.start], tuple(item.ids[-1] for item in answers))]
        return [*answers]

    def _checked(self, item: ScoredItem | W2SError, field: str) -> Item | W2SError:
        if isinstance(item, W2SError):
            return item
        if item.start == item.length:
            return InvalidArgument(field, "leaves the model no token to predict")
        if item.length > self._limit:
            return InvalidArgument(
                field, f"has {item.length} tokens with its prompt; this model reads {self._limit} at most"
            )
        return item


class _Prompts:
    """Turns prompts, and completions after them, into tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat_template: bool) -> None:
        self.tokenizer = tokenizer
        self._chat_template = chat_template
        # A chat template writes its special tokens itself.
        self._before = () if chat_template else affixes(tokenizer)[0]
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self._begin = () if begin is None else (int(begin),)
        self._text("a prompt")

    def encode(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens to continue, at least one."""
        return [self._begun((*self._before, *ids)) for ids in self._ids([self._text(prompt) for prompt in prompts])]

    def join(self, completions: Sequence[Completion]) -> list[ScoredItem]:
        """Prompt and completion tokenized as one text, so that a token may lie across the seam."""
        prompts = [self._text(completion.prompt) for completion in completions]
        texts = [prompt + completion.completion for prompt, completion in zip(prompts, completions, strict=True)]
        unique = list(dict.fromkeys([*prompts, *texts]))
        ids = dict(zip(unique, self._ids(unique), strict=True))
        return [self._item(ids[prompt], ids[text]) for prompt, text in zip(prompts, texts, strict=True)]

    def _item(self, prompt: tuple[int, ...], whole: tuple[int, ...]) -> ScoredItem:
        before = self._before
        start = len(before) + shared(prompt, whole)
        if start == 0:
            before = self._begun(())
            start = len(before)
        return ScoredItem((*before, *whole), start)

    def _text(self, prompt: str) -> str:
        return render_chat(self.tokenizer, prompt) if self._chat_template else prompt

    def _begun(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        if not ids and not self._begin:
            raise ValueError("it is empty, and the model has no token to begin with")
        return ids or self._begin

    def _ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
