from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s.objectives import Pair, log_odds, odds_ratio_loss, orpo_loss

NUMBERS = st.floats(-20, -1e-3)


def pair(chosen: float, rejected: float) -> Pair:
    return Pair(torch.tensor([chosen], dtype=torch.float64), torch.tensor([rejected], dtype=torch.float64))


def test_log_odds_worked_out_by_hand():
    # Odds 1/3, 1 and 9 of P = 1/4, 1/2 and 9/10.
    odds = log_odds(torch.tensor([0.25, 0.5, 0.9]).log())
    assert odds.tolist() == pytest.approx([-math.log(3), 0, math.log(9)], abs=1e-6)


@pytest.mark.parametrize(
    ("log_p", "odds"),
    # log P - log(1 - P): near certainty -log(-log P), to within -log P / 2; near impossibility log P.
    [(-1e-4, 9.2102904), (-1e-6, 13.8155101), (-30.0, -30.0), (-500.0, -500.0)],
)
def test_log_odds_keep_their_digits_at_both_ends(log_p, odds):
    assert log_odds(torch.tensor(log_p)).item() == pytest.approx(odds, abs=1e-5)


@given(st.floats(-700, -1e-9))
def test_log_odds_are_the_logit(log_p):
    expected = log_p - (math.log(-math.expm1(log_p)) if log_p > -math.log(2) else math.log1p(-math.exp(log_p)))
    assert log_odds(torch.tensor(log_p, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_loss_worked_out_by_hand():
    # P = 1/2 and 1/4: odds ratio 3, s(ln 3) = 3/4: ln 2 + .1 ln 4/3 = .6931472 + .0287682.
    policy = pair(math.log(1 / 2), math.log(1 / 4))
    assert odds_ratio_loss(policy).item() == pytest.approx(0.2876821, abs=1e-6)
    assert orpo_loss(policy, weight=0.1).item() == pytest.approx(0.7219154, abs=1e-6)


@given(NUMBERS)
def test_equal_odds_have_a_ratio_loss_of_ln_2(log_p):
    assert odds_ratio_loss(pair(log_p, log_p)).item() == pytest.approx(math.log(2))


@given(NUMBERS, NUMBERS)
def test_probabilities_of_either_order_add_up_to_one(a, b):
    total = sum(math.exp(-odds_ratio_loss(given).item()) for given in (pair(a, b), pair(b, a)))
    assert total == pytest.approx(1)


@given(NUMBERS, NUMBERS, st.floats(-20, -1e-3))
def test_a_likelier_rejected_completion_costs_more(chosen, rejected, other):
    low, high = sorted((rejected, other))
    assert odds_ratio_loss(pair(chosen, low)).item() <= odds_ratio_loss(pair(chosen, high)).item() + 1e-12


def test_without_weight_it_is_fine_tuning_on_the_chosen():
    assert orpo_loss(pair(-1.25, -0.5), weight=0).item() == 1.25


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    chosen, rejected = (-torch.rand(4, dtype=torch.float64) * 3 - 0.05 for _ in range(2))
    inputs = (chosen.requires_grad_(), rejected.requires_grad_())
    assert torch.autograd.gradcheck(lambda c, r: orpo_loss(Pair(c, r), 0.4), inputs)


@pytest.mark.parametrize("chosen", [0.0, -1e-8, -1e-3, -200.0])
@pytest.mark.parametrize("rejected", [0.0, -1e-8, -1e-3, -200.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_certainty_and_impossibility_give_a_finite_loss_and_gradient(chosen, rejected, dtype):
    policy = Pair(*(torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected)))
    loss = orpo_loss(policy, weight=0.1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()
    assert torch.isfinite(policy.chosen.grad).all()
    assert torch.isfinite(policy.rejected.grad).all()
