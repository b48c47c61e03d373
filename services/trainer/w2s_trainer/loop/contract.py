"""What the loop asks of data and of objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Micro:
    """Examples that go through the model at once.

    Attributes:
        inputs: What the model is called with, by name: tensors, or mappings of tensors, on
            the CPU. An example may read several sequences: then the first ones of all B
            examples come first, and the second ones after them.
        targets: What the outputs are compared with, by name, on the CPU: tensors of B rows,
            or of as many rows as there are sequences, in the order of `inputs`.
    """

    inputs: dict[str, Any]
    targets: dict[str, Tensor]


class Examples(Protocol):
    """What a model is trained or scored on."""

    @property
    def ids(self) -> Sequence[str]:
        """Example ids, length N, for messages."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each example's longest sequence, >= 1, length N."""

    @property
    def token_counts(self) -> Sequence[int]:
        """Tokens of all of each example's sequences, length N."""

    @property
    def sequences(self) -> int:
        """Sequences that each example reads, >= 1."""

    def micro(self, rows: Sequence[int]) -> Micro:
        """Some examples, padded together: B >= 1 indices in [0, N)."""


class Criterion(Protocol):
    """An objective as the loop uses it: a mean over the rows of the whole optimiser batch.

    The objective is sum_i (sum of the terms of row i) / sum_i weight_i, over the B rows of the
    batch, so that it is the same however the batch is cut into micro-batches and processes.
    """

    @property
    def whole_batch(self) -> bool:
        """Whether `prepare` must see the whole optimiser batch before any gradient."""

    def weights(self, targets: Mapping[str, Tensor]) -> Tensor:
        """What each row counts for, shape [B], fp32: 1, or its tokens. Zero for none."""

    def prepare(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Targets that depend on the outputs of the whole optimiser batch.

        Called without gradient when `whole_batch`. What it returns replaces or joins the
        targets of the same rows.

        Args:
            outputs: Of all B rows, as the model gives them.
            targets: Of all B rows.
            progress: Share of optimiser steps done, in [0, 1].
        """

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The loss by component, each of shape [B], fp32, in nats; with gradient.

        Args:
            outputs: Of a micro-batch: logits [B, C], rewards [S, 1], or log-probabilities of
                completions [S], for S = B x sequences.
            targets: Of the same rows; with what `prepare` gave.
            progress: As `prepare` takes it.
        """

    def measures(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Figures for curves, each of shape [B], fp32, whose mean over rows is reported.

        `label_accuracy` and `truth_accuracy` where there are labels and ground truth, both
        in [0, 1]; `nll` in nats a token for completions; rewards and margins for pairs.
        """
