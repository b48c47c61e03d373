"""What language models learn preferences from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from w2s_trainer.data.completion_encoder import CompletionEncoder
from w2s_trainer.data.completions import masked_counts
from w2s_trainer.data.packing import Packed, padded
from w2s_trainer.data.rows import Rows
from w2s_trainer.loop.contract import Micro


@dataclass(frozen=True)
class PreferenceExamples(Rows):
    """Pairs of completions, in the order that the labels prefer.

    Attributes:
        chosen: The prompts with the completions that the labels prefer.
        rejected: The prompts with the others.
        counts: Tokens of the chosen and of the rejected completion, shape [N, 2], fp32, >= 1.
        correct: Whether the ground truth prefers the chosen one, shape [N], bool; None where
            that is not known.
        reference: Summed log-probabilities of both under the reference, shape [N, 2], fp32,
            in nats; None until they are known.
    """

    chosen: Packed
    rejected: Packed
    counts: Tensor
    correct: Tensor | None
    reference: Tensor | None = None

    @classmethod
    def of_pairs(
        cls,
        encoder: CompletionEncoder,
        ids: Sequence[str],
        prompts: Sequence[str],
        firsts: Sequence[str],
        seconds: Sequence[str],
        targets: Tensor,
        truth: Tensor | None,
    ) -> PreferenceExamples:
        """Encodes pairs.

        Args:
            encoder: How.
            ids: Example ids, length N >= 1.
            prompts: What is completed.
            firsts: The first completions.
            seconds: The second completions.
            targets: How probably each of the two is preferred, shape [N, 2]. The more
                probable one is chosen, and the first where both are equally so.
            truth: Which one is preferred, 0 or 1, shape [N].

        Raises:
            InvalidArgument: As `CompletionEncoder.completions`.
        """
        best = targets.argmax(dim=-1)
        chosen, rejected = by_preference(firsts, seconds, targets)
        both = encoder.completions([*ids, *ids], [*prompts, *prompts], [*chosen, *rejected])
        ahead, behind = both.part(0, 2), both.part(1, 2)
        counts = torch.stack([masked_counts(part.tokens) for part in (ahead, behind)], dim=-1)
        correct = None if truth is None else truth == best
        return cls(tuple(ids), ahead.cut | behind.cut, ahead.tokens, behind.tokens, counts, correct)

    @property
    def packs(self) -> tuple[Packed, ...]:
        """Two sequences an example."""
        return self.chosen, self.rejected

    def with_reference(self, sums: Tensor) -> PreferenceExamples:
        """The same pairs with the reference's summed log-probabilities, shape [N, 2], in nats."""
        assert sums.shape == self.counts.shape
        return replace(self, reference=sums.float())

    def micro(self, rows: Sequence[int]) -> Micro:
        """Inputs as a completion scorer takes them, B chosen ones and B rejected ones; targets of B rows each."""
        columns = {"counts": self.counts, "correct": self.correct, "reference": self.reference}
        chosen = torch.as_tensor(rows)
        targets = {name: values[chosen] for name, values in columns.items() if values is not None}
        return Micro(dict(padded(self.packs, rows)), targets)


def by_preference(firsts: Sequence[str], seconds: Sequence[str], targets: Tensor) -> tuple[list[str], list[str]]:
    """Completions by what labels say, the preferred ones and the others.

    Args:
        firsts: The first completions, length N.
        seconds: The second completions.
        targets: As `PreferenceExamples.of_pairs` takes them.
    """
    pairs = list(zip(firsts, seconds, strict=True))
    best = targets.argmax(dim=-1).tolist()
    return [pair[at] for pair, at in zip(pairs, best, strict=True)], [
        pair[1 - at] for pair, at in zip(pairs, best, strict=True)
    ]
