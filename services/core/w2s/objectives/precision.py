"""The precision that losses are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Values in float32, or in float64 where they are float64 already; the gradient comes back in their own dtype."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
