"""Turns texts into token batches with little padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from w2s.errors import InvalidArgument, W2SError
from w2s.models.classifier import ClassifierConfig
from w2s.models.engine import Item
from w2s.models.inputs import Row
from w2s.models.spec import Encoding

Tokens = Mapping[str, Sequence[int]]

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class TokenItem:
    """An unpadded sequence as a value that can be compared.

    Attributes:
        columns: The tokenizer's columns by name, such as `input_ids`; all is to be seen.
    """

    columns: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.columns[0][1])

    @property
    def tokens(self) -> Tokens:
        """The columns and their attention mask."""
        return {**dict(self.columns), "attention_mask": (1,) * self.length}


def token_item(tokens: Tokens) -> TokenItem:
    """A sequence of a tokenizer as an item."""
    return TokenItem(tuple((name, tuple(ids)) for name, ids in sorted(tokens.items()) if name != "attention_mask"))


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    config: ClassifierConfig,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
) -> tuple[list[Tokens], list[Tokens] | None]:
    """Tokenizes texts as a classifier reads them.

    Returns:
        The first sequences and, for a pair encoder, the second ones; unpadded.
    """
    if config.encoding == Encoding.PAIR:
        assert pairs is not None
        return _tokenize(tokenizer, config.max_length, texts), _tokenize(tokenizer, config.max_length, pairs)
    return _tokenize(tokenizer, config.max_length, texts, pairs), None


def tokenize_rows(
    tokenizer: PreTrainedTokenizerBase, max_length: int, rows: Sequence[Row], *, apart: bool = False
) -> list[list[Item] | W2SError]:
    """Tokenizes rows, each for itself: what one gives depends on no other.

    Args:
        tokenizer: The model's tokenizer.
        max_length: Tokens a sequence is cut to.
        rows: What to tokenize.
        apart: A row's two texts become two sequences, rather than one.

    Returns:
        For each row its one or two sequences, or an error when it is no text.
    """

    def encode(rows: Sequence[Row]) -> list[list[Item]]:
        texts, pairs = [row.text for row in rows], [row.pair for row in rows]
        if apart:
            tokens = _tokenize(tokenizer, max_length, [*texts, *pairs])
            return [[token_item(first), token_item(second)] for first, second in zip(*_halves(tokens), strict=True)]
        return [[token_item(tokens)] for tokens in _tokenize(tokenizer, max_length, texts, pairs if pairs[0] else None)]

    # A second text changes what a tokenizer adds, so rows without one are tokenized on their own.
    results = {
        paired: iter(each(encode, [row for row in rows if bool(row.pair) == paired], "text"))
        for paired in (False, True)
    }
    return [next(results[bool(row.pair)]) for row in rows]


def each(encode: Callable[[Sequence[T]], Sequence[U]], inputs: Sequence[T], field: str) -> list[U | W2SError]:
    """Encodes all at once; when that fails, one by one, so that only what is wrong fails.

    Args:
        encode: What encodes, one result an input.
        inputs: What to encode.
        field: The field to name in an error.
    """
    if not inputs:
        return []
    try:
        return list(encode(inputs))
    except Exception as error:
        # A string with a lone surrogate, which JSON can hold, is a TypeError of the tokenizer; a token that its
        # vocabulary lacks is of no narrower class.
        if type(error) is not Exception and not isinstance(error, TypeError | ValueError):
            raise
        if len(inputs) == 1:
            return [InvalidArgument(field, f"cannot be tokenized: {error}")]
        return [result for one in inputs for result in each(encode, [one], field)]


def pad(tokenizer: PreTrainedTokenizerBase, sequences: Sequence[Tokens]) -> dict[str, Tensor]:
    """Pads sequences to the longest: tensors of shape [B, T], int64."""
    return pad_with(tokenizer.pad_token_id or 0, sequences)


def pad_with(pad_id: int, sequences: Sequence[Tokens]) -> dict[str, Tensor]:
    """As `pad`, with a token id to pad with."""
    width = max(len(tokens["input_ids"]) for tokens in sequences)
    fill = {"input_ids": pad_id}
    return {
        name: torch.tensor([[*s[name], *[fill.get(name, 0)] * (width - len(s[name]))] for s in sequences])
        for name in sequences[0]
    }


def identity(tokens: Tokens) -> tuple[tuple[int, ...], ...]:
    """What tells unpadded sequences apart: their token ids, and segments where there are any."""
    return tuple(tuple(ids) for name, ids in sorted(tokens.items()) if name != "attention_mask")


def affixes(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that a tokenizer puts before and after a text.

    Raises:
        ValueError: Those of the text are others beside them.
    """
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    starts = [at for at in range(len(whole)) if whole[at : at + len(bare)] == bare]
    if not starts:
        raise ValueError("its tokenizer changes a text's tokens as it adds special tokens")
    return tuple(whole[: starts[0]]), tuple(whole[starts[0] + len(bare) :])


def shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    shorter = min(len(first), len(second))
    return next((at for at in range(shorter) if first[at] != second[at]), shorter)


def _tokenize(
    tokenizer: PreTrainedTokenizerBase, max_length: int, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[Tokens]:
    encoded = tokenizer(list(texts), list(pairs) if pairs else None, truncation=True, max_length=max_length)
    # An empty text may have no token at all; a lone padding token, seen, keeps shapes sound.
    rows = [{name: values[row] for name, values in encoded.items()} for row in range(len(texts))]
    return [row if row["input_ids"] else {name: [_blank(tokenizer, name)] for name in row} for row in rows]


def _blank(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    return {"input_ids": tokenizer.pad_token_id or 0, "attention_mask": 1}.get(name, 0)


def _halves(tokens: list[Tokens]) -> tuple[list[Tokens], list[Tokens]]:
    middle = len(tokens) // 2
    return tokens[:middle], tokens[middle:]
