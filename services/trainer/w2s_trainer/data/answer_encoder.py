"""Prompts with completions as a reward model reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models.tokens import Tokens, shared
from w2s_trainer.data.encoding import Encoded, affixes, render, token_ids
from w2s_trainer.data.packing import Packed


class AnswerEncoder:
    """Prompts with completions as a reward model reads them: one text, as the supervisor's reward models do.

    Args:
        tokenizer: The model's tokenizer.
        max_length: Tokens of a sequence. Of a longer one the prompt loses tokens at its
            beginning, and a completion that is too long by itself at its end; special tokens
            around the text stay.
        chat_template: Puts both into the tokenizer's chat template; otherwise they are joined
            as they are.

    Raises:
        InvalidArgument: There is no room beside special tokens, or no chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, *, chat_template: bool = False) -> None:
        self._tokenizer = tokenizer
        self._limit = max_length
        self._chat_template = chat_template
        # A chat template writes its special tokens itself.
        before, after = ((), ()) if chat_template else affixes(tokenizer)
        self._before, self._after = len(before), len(after)
        if max_length <= self._before + self._after:
            least = self._before + self._after + 1
            raise InvalidArgument("model.max_length", f"must be at least {least}: a token beside the special ones")
        self._text("a prompt")

    def answers(self, ids: Sequence[str], prompts: Sequence[str], completions: Sequence[str]) -> Encoded:
        """One sequence a completion.

        Args:
            ids: N >= 1 example ids, for messages.
            prompts: What is answered.
            completions: The answers.

        Raises:
            InvalidArgument: There is no token to read, or the chat template fails.
        """
        texts = [self._text(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        encoded = self._tokenizer(texts, add_special_tokens=not self._chat_template, verbose=False)
        sequences: list[Tokens] = [{name: column[row] for name, column in encoded.items()} for row in range(len(texts))]
        for id_, tokens in zip(ids, sequences, strict=True):
            if not tokens["input_ids"]:
                raise InvalidArgument("dataset", f"prompt and completion of example {id_} have no token")
        cut = np.asarray([len(tokens["input_ids"]) > self._limit for tokens in sequences])
        long = np.flatnonzero(cut).tolist()
        bare = [self._text(prompts[row]) for row in long]
        for row, prompt in zip(long, token_ids(self._tokenizer, bare), strict=True):
            sequences[row] = self._shortened(sequences[row], prompt)
        return Encoded(Packed.of(sequences), cut)

    def _text(self, prompt: str, completion: str | None = None) -> str:
        return render(self._tokenizer, prompt, completion) if self._chat_template else prompt + (completion or "")

    def _shortened(self, tokens: Tokens, prompt: Sequence[int]) -> Tokens:
        ids = tokens["input_ids"]
        end = len(ids) - self._after
        room = self._limit - self._before - self._after
        # As the supervisor's language models do: a token across the seam is the completion's.
        seam = self._before + shared(prompt, ids[self._before : end])
        first = min(end - room, seam)
        kept = [*range(self._before), *range(first, first + room), *range(end, len(ids))]
        return {name: [values[place] for place in kept] for name, values in tokens.items()}
