"""What language models learn to write: completions of prompts, or all text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from w2s_trainer.data.completion_encoder import CompletionEncoder
from w2s_trainer.data.encoding import Encoded
from w2s_trainer.data.packing import Packed, padded
from w2s_trainer.data.rows import Rows
from w2s_trainer.loop.contract import Micro


@dataclass(frozen=True)
class CompletionExamples(Rows):
    """Sequences of which a part is to be learnt.

    Attributes:
        tokens: The sequences, with their `completion_mask`.
        counts: How many tokens of each are to be learnt, shape [N], fp32, >= 1.
    """

    tokens: Packed
    counts: Tensor

    @classmethod
    def of_completions(
        cls, encoder: CompletionEncoder, ids: Sequence[str], prompts: Sequence[str], completions: Sequence[str]
    ) -> Self:
        """Examples of which the completions are learnt; errors as `CompletionEncoder.completions`."""
        return cls._of(ids, encoder.completions(ids, prompts, completions))

    @classmethod
    def _of(cls, ids: Sequence[str], encoded: Encoded) -> Self:
        return cls(tuple(ids), encoded.cut, encoded.tokens, masked_counts(encoded.tokens))

    @property
    def packs(self) -> tuple[Packed, ...]:
        """One sequence an example."""
        return (self.tokens,)

    def micro(self, rows: Sequence[int]) -> Micro:
        """Inputs as a completion scorer takes them; target `counts`, shape [B]."""
        return Micro(dict(padded(self.packs, rows)), {"counts": self.counts[torch.as_tensor(rows)]})


class TextExamples(CompletionExamples):
    """Sequences of which everything is learnt that something comes before."""

    @classmethod
    def of_completions(
        cls, encoder: CompletionEncoder, ids: Sequence[str], prompts: Sequence[str], completions: Sequence[str]
    ) -> Self:
        """Examples of which prompts and completions are learnt; errors as `CompletionEncoder.completions`."""
        return cls._of(ids, _all_text(encoder.completions(ids, prompts, completions)))

    @classmethod
    def of_pairs(
        cls,
        encoder: CompletionEncoder,
        ids: Sequence[str],
        prompts: Sequence[str],
        firsts: Sequence[str],
        seconds: Sequence[str],
    ) -> Self:
        """Examples of the first completions, then of the second ones: 2N rows for N pairs."""
        both = [*ids, *ids]
        encoded = encoder.completions(both, [*prompts, *prompts], [*firsts, *seconds])
        # A pair of which both are cut counts once.
        first, second = np.split(encoded.cut, 2)
        return cls._of(both, _all_text(replace(encoded, cut=np.concatenate([first, second & ~first]))))

    @classmethod
    def of_texts(
        cls, encoder: CompletionEncoder, ids: Sequence[str], texts: Sequence[str], pairs: Sequence[str] | None
    ) -> Self:
        """Examples of plain texts, two texts joined by a blank line; errors as `CompletionEncoder.texts`."""
        whole = texts if pairs is None else [f"{text}\n\n{pair}" for text, pair in zip(texts, pairs, strict=True)]
        return cls._of(ids, _all_text(encoder.texts(ids, whole)))


def masked_counts(tokens: Packed) -> Tensor:
    """How many tokens of each sequence `completion_mask` counts, shape [N], fp32."""
    counts = np.add.reduceat(tokens.columns["completion_mask"], tokens.offsets[:-1], dtype=np.int64)
    return torch.from_numpy(counts.astype(np.float32))


def _all_text(encoded: Encoded) -> Encoded:
    mask = np.ones_like(encoded.tokens.columns["completion_mask"])
    # Nothing predicts the first token.
    mask[encoded.tokens.offsets[:-1]] = 0
    columns = {**encoded.tokens.columns, "completion_mask": mask}
    return replace(encoded, tokens=Packed(columns, encoded.tokens.offsets))
