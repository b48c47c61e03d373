from __future__ import annotations

import torch

from w2s.objectives import Pair
from w2s_trainer.criteria.truth import truth_accuracy


def test_ties_are_half_right_whoever_is_preferred():
    pair = Pair(torch.tensor([1.0, 1.0, 0.0, 0.0, 2.0, 2.0]), torch.tensor([0.0, 0.0, 1.0, 1.0, 2.0, 2.0]))
    correct = torch.tensor([True, False, True, False, True, False])
    assert truth_accuracy(pair, correct).tolist() == [1, 0, 0, 1, 0.5, 0.5]
