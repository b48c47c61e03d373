"""Turns texts into token batches with little padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from w2s.models.classifier import ClassifierConfig
from w2s.models.spec import Encoding

Tokens = Mapping[str, Sequence[int]]


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


def pad(tokenizer: PreTrainedTokenizerBase, sequences: Sequence[Tokens]) -> dict[str, Tensor]:
    """Pads sequences to the longest: tensors of shape [B, T], int64."""
    width = max(len(tokens["input_ids"]) for tokens in sequences)
    fill = {"input_ids": tokenizer.pad_token_id or 0}
    return {
        name: torch.tensor([[*s[name], *[fill.get(name, 0)] * (width - len(s[name]))] for s in sequences])
        for name in sequences[0]
    }


def identity(tokens: Tokens) -> tuple[tuple[int, ...], ...]:
    """What tells unpadded sequences apart: their token ids, and segments where there are any."""
    return tuple(tuple(ids) for name, ids in sorted(tokens.items()) if name != "attention_mask")


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Groups indices so that rows times the longest row stays within a budget.

    Sorted by length, longest first (memory peaks at once), so that little is padding. The
    grouping depends on the lengths and their order alone.

    Args:
        lengths: Tokens of each row, >= 1.
        budget: Padded tokens a batch, >= 1; a longer row is a batch of its own.

    Yields:
        Disjoint lists of indices that cover all rows.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _tokenize(
    tokenizer: PreTrainedTokenizerBase, max_length: int, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[Tokens]:
    encoded = tokenizer(list(texts), list(pairs) if pairs else None, truncation=True, max_length=max_length)
    # An empty text may have no token at all; a lone padding token, seen, keeps shapes sound.
    rows = [{name: values[row] for name, values in encoded.items()} for row in range(len(texts))]
    return [row if row["input_ids"] else {name: [_blank(tokenizer, name)] for name in row} for row in rows]


def _blank(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    return {"input_ids": tokenizer.pad_token_id or 0, "attention_mask": 1}.get(name, 0)
