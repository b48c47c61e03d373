from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s.objectives import bradley_terry_loss

REWARDS = st.floats(-20, 20)
FIRST, SECOND = torch.tensor([math.log(3), 0.5, -1.0]), torch.tensor([0.0, 0.5, -1.0 + math.log(4)])


def test_loss_worked_out_by_hand():
    # s(ln 3) = 3/4: .8 ln 4/3 + .2 ln 4 = .2301457 + .2772589.
    # s(0) = 1/2: ln 2. s(-ln 4) = 1/5: ln 5.
    losses = bradley_terry_loss(FIRST, SECOND, torch.tensor([0.8, 0.3, 1.0]))
    assert losses.tolist() == pytest.approx([0.5074046, 0.6931472, 1.6094379], abs=1e-6)


def test_margin_is_asked_of_the_preferred_reward():
    # d = ln 3, m = ln 2: s(ln 3/2) = 3/5 and s(-ln 6) = 1/7: ln 5/3, ln 7, and half of each.
    losses = bradley_terry_loss(
        FIRST[:1].repeat(3), SECOND[:1].repeat(3), torch.tensor([1.0, 0.0, 0.5]), margin=math.log(2)
    )
    ln53, ln7 = 0.5108256, 1.9459101
    assert losses.tolist() == pytest.approx([ln53, ln7, (ln53 + ln7) / 2], abs=1e-6)


def test_margins_may_differ_from_pair_to_pair():
    pair = torch.zeros(2), torch.zeros(2), torch.ones(2)
    losses = bradley_terry_loss(*pair, margin=torch.tensor([0.0, math.log(3)]))
    assert losses.tolist() == pytest.approx([math.log(2), math.log(4)], abs=1e-6)


def test_centering_adds_the_square_of_the_sum():
    rewards = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])
    preferences = torch.tensor([0.5, 0.5])
    added = bradley_terry_loss(*rewards, preferences, centering=0.01) - bradley_terry_loss(*rewards, preferences)
    assert added.tolist() == pytest.approx([0.16, 0], abs=1e-6)


@given(REWARDS, REWARDS, st.floats(0, 1), st.floats(0, 3), st.floats(0, 1))
def test_swapping_the_slots_changes_nothing(first, second, preference, margin, centering):
    a, b, q = (torch.tensor([x], dtype=torch.float64) for x in (first, second, preference))
    torch.testing.assert_close(
        bradley_terry_loss(a, b, q, margin, centering), bradley_terry_loss(b, a, 1 - q, margin, centering)
    )


@given(REWARDS, REWARDS, st.floats(-50, 50), st.floats(0, 1))
def test_only_the_difference_of_rewards_counts(first, second, shift, preference):
    a, b, q = (torch.tensor([x], dtype=torch.float64) for x in (first, second, preference))
    torch.testing.assert_close(bradley_terry_loss(a + shift, b + shift, q), bradley_terry_loss(a, b, q))


def test_is_least_where_the_model_agrees_with_the_preference():
    difference = torch.tensor([math.log(4)], requires_grad=True)
    bradley_terry_loss(difference, torch.zeros(1), torch.tensor([0.8])).backward()
    assert difference.grad.item() == pytest.approx(0, abs=1e-6)


def test_is_the_binary_cross_entropy_of_the_difference():
    torch.manual_seed(0)
    first, second, preferences = torch.randn(6), torch.randn(6), torch.rand(6)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(first - second, preferences, reduction="none")
    torch.testing.assert_close(bradley_terry_loss(first, second, preferences), expected)


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    first, second = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    preferences = torch.rand(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: bradley_terry_loss(a, b, preferences, 0.3, 0.1), (first, second))


@pytest.mark.parametrize(("preference", "loss"), [(1.0, 20_000), (0.0, 0), (0.25, 5_000)])
def test_bf16_rewards_at_their_extremes_give_a_finite_loss_and_gradient(preference, loss):
    first = torch.tensor([-10_000.0], dtype=torch.bfloat16, requires_grad=True)
    found = bradley_terry_loss(first, -first.detach(), torch.tensor([preference]))
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss, rel=0.01)
    assert first.grad.item() == pytest.approx(-preference)
