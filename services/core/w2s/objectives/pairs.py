"""What the preference objectives compare."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from w2s.objectives.precision import full_precision


class Pair(NamedTuple):
    """One number for each completion of preference pairs, such as a log-probability or a reward.

    Of a forward over the chosen completions, then the rejected ones, it is
    `Pair(*values.chunk(2))`.

    Attributes:
        chosen: Those of the preferred completions, shape [B].
        rejected: Those of the others, shape [B].
    """

    chosen: Tensor
    rejected: Tensor

    @property
    def margin(self) -> Tensor:
        """By how much the chosen completion is ahead, shape [B], fp32."""
        return full_precision(self.chosen) - full_precision(self.rejected)

    @property
    def accuracy(self) -> Tensor:
        """1 where the chosen completion is ahead, 1/2 where both are equal, else 0; shape [B], fp32."""
        margin = self.margin.detach()
        return torch.heaviside(margin, margin.new_tensor(0.5))
