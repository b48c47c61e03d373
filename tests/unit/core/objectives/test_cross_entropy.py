from __future__ import annotations

import math

import pytest
import torch

from w2s.objectives import cross_entropy, harden, one_hot, row_cross_entropy

# softmax rows [3/4, 1/4] and [1/5, 4/5]
LOGITS = torch.tensor([[math.log(3), 0.0], [0.0, math.log(4)]])


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        # (1/2 (ln 4/3 + ln 4) + (0.1 ln 5 + 0.9 ln 5/4)) / 2 = (0.8369882 + 0.3617730) / 2
        ([[0.5, 0.5], [0.1, 0.9]], 0.5993806),
        # (ln 4 + ln 5/4) / 2 = (1.3862944 + 0.2231436) / 2
        ([[0.0, 1.0], [0.0, 1.0]], 0.8047190),
    ],
    ids=["soft", "hard"],
)
def test_is_the_mean_over_rows_of_the_expected_negative_log_probability(targets, expected):
    assert cross_entropy(LOGITS, torch.tensor(targets)).item() == pytest.approx(expected, abs=1e-6)


def test_gives_the_number_of_each_row():
    rows = row_cross_entropy(LOGITS, torch.tensor([[0.5, 0.5], [0.1, 0.9]]))
    assert rows.tolist() == pytest.approx([0.8369882, 0.3617730], abs=1e-6)


def test_computes_in_fp32_whatever_the_logits_are():
    # ln(1 + e^-12) = 6.1441935e-6; bf16 would round it by up to 0.4 %.
    loss = cross_entropy(torch.tensor([[0.0, 12.0]], dtype=torch.bfloat16), torch.tensor([[0.0, 1.0]]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(6.1441935e-6, rel=0.02)


def test_does_not_depend_on_a_shift_of_the_logits():
    targets = torch.tensor([[0.3, 0.7], [0.9, 0.1]])
    torch.testing.assert_close(cross_entropy(LOGITS + 50, targets), cross_entropy(LOGITS, targets))


def test_gradient_is_that_of_finite_differences():
    logits = torch.tensor([[0.3, -1.2, 2.0], [0.0, 0.5, -0.5]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert torch.autograd.gradcheck(lambda z: row_cross_entropy(z, targets), logits)


def test_harden_takes_the_most_probable_class_and_the_lowest_index_of_a_tie():
    rows = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.1, 0.9]])
    assert harden(rows).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_one_hot_makes_distributions_of_class_indices():
    rows = one_hot(torch.tensor([2, 0]), 3)
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
