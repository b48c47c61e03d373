"""Prompts with completions as a language model learns from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models.tokens import Tokens
from w2s_trainer.data.encoding import Encoded, affixes, render, token_ids
from w2s_trainer.data.packing import Packed


class CompletionEncoder:
    """Prompts with completions as a language model learns from them.

    Prompt and completion are tokenized apart, so that no token lies across the seam. The
    column `completion_mask` of the sequences is 1 where a token is the completion's.

    Args:
        tokenizer: The model's tokenizer.
        max_length: Tokens of a sequence, >= 2. Of a longer one the prompt loses tokens at its
            beginning, but for the token that begins every text; a completion that leaves no
            room for a token of the prompt is cut at its end.
        chat_template: Puts both into the tokenizer's chat template. Otherwise the prompt gets
            the special tokens that begin a text, and the completion the one that ends it.

    Raises:
        InvalidArgument: There is no room for a completion, no end token or no chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, *, chat_template: bool = False) -> None:
        if max_length < 2:
            raise InvalidArgument("model.max_length", "must be at least 2: a token to predict, and one before it")
        if tokenizer.eos_token_id is None and not chat_template:
            raise InvalidArgument("model.base", "its tokenizer has no end token to put after a completion")
        self._tokenizer = tokenizer
        self._limit = max_length
        self._chat_template = chat_template
        self._before = affixes(tokenizer)[0]
        self._bos: int | None = tokenizer.bos_token_id
        self._eos: int | None = tokenizer.eos_token_id
        if chat_template:
            render(tokenizer, "a prompt")

    def completions(self, ids: Sequence[str], prompts: Sequence[str], completions: Sequence[str]) -> Encoded:
        """Sequences whose completions are to be learnt.

        Args:
            ids: N >= 1 example ids, for messages.
            prompts: What is completed.
            completions: What follows.

        Raises:
            InvalidArgument: A completion has no token, a prompt none and the model none to
                begin with, or the template writes a prompt otherwise once it is answered.
        """
        begun, rests = self._texts(ids, prompts, completions)
        # The completions of a pair share their prompt.
        unique = list(dict.fromkeys(begun))
        known = dict(zip(unique, token_ids(self._tokenizer, unique), strict=True))
        rows: list[tuple[list[int], list[int]]] = []
        for id_, prompt, rest in zip(ids, begun, token_ids(self._tokenizer, rests), strict=True):
            if not rest:
                raise InvalidArgument("dataset", f"the completion of example {id_} has no token")
            rows.append((self._context(id_, known[prompt]), rest))
        return self._encoded(rows, ends=not self._chat_template)

    def texts(self, ids: Sequence[str], texts: Sequence[str]) -> Encoded:
        """Sequences of plain texts, each as a completion of nothing.

        Args:
            ids: N >= 1 example ids, for messages.
            texts: The texts; they may be empty. No chat template is put around them.

        Raises:
            InvalidArgument: The tokenizer has no token that begins or ends a text.
        """
        if self._eos is None:
            raise InvalidArgument("model.base", "its tokenizer has no end token to put after a text")
        rows = [
            ([*self._before] or self._context(id_, []), tokens)
            for id_, tokens in zip(ids, token_ids(self._tokenizer, texts), strict=True)
        ]
        return self._encoded(rows, ends=True)

    def _texts(
        self, ids: Sequence[str], prompts: Sequence[str], completions: Sequence[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        if not self._chat_template:
            return prompts, completions
        begun = {prompt: render(self._tokenizer, prompt) for prompt in dict.fromkeys(prompts)}
        rests = []
        for id_, prompt, completion in zip(ids, prompts, completions, strict=True):
            whole = render(self._tokenizer, prompt, completion)
            if not whole.startswith(begun[prompt]):
                raise InvalidArgument(
                    "model.chat_template",
                    f"the template writes the prompt of example {id_} otherwise once it is answered; leave it out",
                )
            rests.append(whole[len(begun[prompt]) :])
        return [begun[prompt] for prompt in prompts], rests

    def _context(self, id_: str, prompt: list[int]) -> list[int]:
        # A chat template writes its special tokens itself.
        context = prompt if self._chat_template else [*self._before, *prompt]
        if context:
            return context
        begin = self._eos if self._bos is None else self._bos
        if begin is None:
            raise InvalidArgument(
                "dataset", f"the prompt of example {id_} has no token, and the model none to begin with"
            )
        return [begin]

    def _encoded(self, rows: Sequence[tuple[list[int], list[int]]], *, ends: bool) -> Encoded:
        sequences: list[Tokens] = []
        cut = np.zeros(len(rows), bool)
        end = [self._eos] if ends and self._eos is not None else []
        for row, (prompt, rest) in enumerate(rows):
            completion = [*rest, *end]
            cut[row] = len(prompt) + len(completion) > self._limit
            context = self._shortened(prompt, max(1, self._limit - len(completion)))
            completion = completion[: self._limit - len(context)]
            mask = [0] * len(context) + [1] * len(completion)
            sequences.append({"input_ids": [*context, *completion], "completion_mask": mask})
        return Encoded(Packed.of(sequences), cut)

    def _shortened(self, prompt: list[int], room: int) -> list[int]:
        if len(prompt) <= room:
            return prompt
        begin = prompt[: int(prompt[0] == self._bos)]
        return [*begin, *prompt[len(prompt) - room + len(begin) :]]
