"""What reward models are trained and scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from w2s_trainer.data.answer_encoder import AnswerEncoder
from w2s_trainer.data.packing import Packed, padded
from w2s_trainer.data.rows import Rows
from w2s_trainer.loop.contract import Micro


@dataclass(frozen=True)
class RewardExamples(Rows):
    """Pairs of answered prompts, with how probably the first answer is preferred.

    Attributes:
        first: The prompts with their first completions; None where there are features.
        second: The prompts with their second completions, likewise.
        preferences: The probability that the first one is preferred, shape [N], fp32.
        truth: Which one is, 0 or 1, shape [N], int64; None where that is not known.
        features: What the head reads of both, shape [N, 2, H], once a frozen body has read them.
    """

    first: Packed | None
    second: Packed | None
    preferences: Tensor
    truth: Tensor | None
    features: Tensor | None = None

    @classmethod
    def of_pairs(
        cls,
        encoder: AnswerEncoder,
        ids: Sequence[str],
        prompts: Sequence[str],
        firsts: Sequence[str],
        seconds: Sequence[str],
        preferences: Tensor,
        truth: Tensor | None,
    ) -> RewardExamples:
        """Encodes pairs; errors as `AnswerEncoder.answers`."""
        both = encoder.answers([*ids, *ids], [*prompts, *prompts], [*firsts, *seconds])
        first, second = both.part(0, 2), both.part(1, 2)
        return cls(tuple(ids), first.cut | second.cut, first.tokens, second.tokens, preferences.float(), truth)

    @property
    def packs(self) -> tuple[Packed, ...]:
        """Two sequences an example, none for features."""
        return tuple(pack for pack in (self.first, self.second) if pack is not None)

    def with_features(self, features: Tensor) -> RewardExamples:
        """The same pairs once a frozen body has read them, shape [N, 2, H], in place of their tokens."""
        return replace(self, first=None, second=None, features=features)

    def micro(self, rows: Sequence[int]) -> Micro:
        """Input `text` or `features`: B first sequences and B second ones; targets `preferences` and `truth`, [B]."""
        chosen = torch.as_tensor(rows)
        targets = {"preferences": self.preferences[chosen]}
        if self.truth is not None:
            targets["truth"] = self.truth[chosen]
        if self.features is not None:
            return Micro({"features": self.features[chosen].transpose(0, 1).flatten(0, 1)}, targets)
        return Micro({"text": padded(self.packs, rows)}, targets)
