from __future__ import annotations

import torch

from w2s.objectives import Pair


def test_a_concatenated_forward_is_split_in_two():
    pair = Pair(*torch.tensor([1.0, 2.0, 3.0, 4.0]).chunk(2))
    assert pair.chosen.tolist() == [1, 2]
    assert pair.rejected.tolist() == [3, 4]


def test_margin_and_accuracy_say_which_is_ahead():
    pair = Pair(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-2.0, -2.0, -1.5]))
    assert pair.margin.tolist() == [1, 0, -1.5]
    assert pair.accuracy.tolist() == [1, 0.5, 0]


def test_margin_is_taken_in_fp32():
    # 256 - 0.5 = 255.5 has a digit more than bf16 holds.
    pair = Pair(torch.tensor([256.0], dtype=torch.bfloat16), torch.tensor([0.5], dtype=torch.bfloat16))
    assert pair.margin.item() == 255.5
