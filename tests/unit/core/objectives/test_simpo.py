from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s.objectives import Pair, dpo_loss, mean_log_probs, simpo_loss

NUMBERS = st.floats(-20, 0)


def pair(chosen: float, rejected: float) -> Pair:
    return Pair(torch.tensor([chosen], dtype=torch.float64), torch.tensor([rejected], dtype=torch.float64))


def test_loss_worked_out_by_hand():
    # Means -2 over 2 tokens and -2.75 over 4: 2 x .75 - 1 = .5, and ln(1 + e^-.5) = .4740770.
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    means = mean_log_probs(torch.tensor([[-1.0, -3.0, 0.0, 0.0], [-2.0, -3.0, -3.0, -3.0]]), mask)
    loss = simpo_loss(Pair(*means.chunk(2)), beta=2, gamma=1)
    assert loss.tolist() == pytest.approx([0.4740770], abs=1e-6)


@given(NUMBERS, NUMBERS, st.floats(0.1, 10), st.floats(0, 2))
def test_gamma_over_beta_is_the_margin_that_is_asked_for(chosen, rejected, beta, ratio):
    expected = math.log1p(math.exp(-beta * (chosen - rejected - ratio)))
    assert simpo_loss(pair(chosen, rejected), beta, gamma=beta * ratio).item() == pytest.approx(expected)


def test_a_margin_of_gamma_over_beta_has_a_loss_of_ln_2():
    assert simpo_loss(pair(-1, -1.5), beta=2, gamma=1).item() == pytest.approx(math.log(2))


@given(NUMBERS, NUMBERS, st.floats(0.1, 10))
def test_without_gamma_it_is_dpo_without_a_reference(chosen, rejected, beta):
    expected = dpo_loss(pair(chosen, rejected), pair(0, 0), beta)
    torch.testing.assert_close(simpo_loss(pair(chosen, rejected), beta, gamma=0), expected)


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    chosen, rejected = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda c, r: simpo_loss(Pair(c, r), 2.5, 0.8), (chosen, rejected))


@pytest.mark.parametrize(("margin", "loss", "slope"), [(1e4, 0, 0), (-1e4, 2e4, -2)])
def test_bf16_log_probs_at_their_extremes_give_a_finite_loss_and_gradient(margin, loss, slope):
    chosen = torch.tensor([margin], dtype=torch.bfloat16, requires_grad=True)
    found = simpo_loss(Pair(chosen, torch.zeros_like(chosen)), beta=2, gamma=1)
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss, rel=0.01)
    assert chosen.grad.item() == pytest.approx(slope, rel=0.01)
