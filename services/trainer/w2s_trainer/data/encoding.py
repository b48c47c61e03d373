"""What encoders of prompts and completions have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models import tokens
from w2s.models.architecture import render_chat
from w2s_trainer.data.packing import Packed


@dataclass(frozen=True)
class Encoded:
    """N sequences, none of them empty.

    Attributes:
        tokens: The sequences.
        cut: Which of them had more tokens, shape [N].
    """

    tokens: Packed
    cut: NDArray[np.bool_]

    def part(self, part: int, parts: int) -> Encoded:
        """One of so many equal parts, in order, from 0."""
        rows = np.split(np.arange(len(self.tokens)), parts)[part]
        return Encoded(self.tokens.take(rows), self.cut[rows])


def render(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str | None = None) -> str:
    """As `render_chat`.

    Raises:
        InvalidArgument: There is no template, or it fails; `model.chat_template` is named.
    """
    try:
        return render_chat(tokenizer, prompt, completion)
    except ValueError as error:
        raise InvalidArgument("model.chat_template", str(error)) from error


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Texts without special tokens around them."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def affixes(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """As `w2s.models.tokens.affixes`.

    Raises:
        InvalidArgument: Those of the text are others beside them.
    """
    try:
        return tokens.affixes(tokenizer)
    except ValueError as error:
        raise InvalidArgument("model.base", str(error)) from error
