from __future__ import annotations

import pytest
import torch

from w2s.objectives.precision import full_precision


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_widens_and_never_narrows(given, computed):
    values = torch.tensor([0.1], dtype=given, requires_grad=True)
    wide = full_precision(values)
    wide.sum().backward()
    assert wide.dtype == computed
    assert values.grad.dtype == given
