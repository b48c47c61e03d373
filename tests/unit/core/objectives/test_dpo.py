from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from w2s.objectives import Pair, dpo_loss, dpo_rewards, mean_log_probs, sum_log_probs

# Summed log-probabilities of chosen and rejected: margins 4 under the policy, 1 under the reference.
POLICY = Pair(torch.tensor([-10.0]), torch.tensor([-14.0]))
REFERENCE = Pair(torch.tensor([-11.0]), torch.tensor([-12.0]))
NUMBERS = st.floats(-100, 0)


def pair(chosen: float, rejected: float) -> Pair:
    return Pair(torch.tensor([chosen], dtype=torch.float64), torch.tensor([rejected], dtype=torch.float64))


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    # z = .1 (4 - 1) = .3: ln(1 + e^-.3) = .5543552 and ln(1 + e^.3) = .8543552, nine to one for the second.
    [(0.0, 0.5543552), (0.1, 0.9 * 0.5543552 + 0.1 * 0.8543552)],
)
def test_loss_worked_out_by_hand(smoothing, expected):
    loss = dpo_loss(POLICY, REFERENCE, beta=0.1, label_smoothing=smoothing)
    assert loss.tolist() == pytest.approx([expected], abs=1e-6)


def test_length_normalised_loss_worked_out_by_hand():
    # Policy means -2 and -3 over 2 and 3 tokens, reference -3 and -2: z = 5 ((-2 + 3) - (-3 + 2)) = 10.
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    policy = mean_log_probs(torch.tensor([[-1.0, -3.0, -7.0], [-2.0, -3.0, -4.0]]), mask)
    reference = mean_log_probs(torch.tensor([[-3.0, -3.0, -7.0], [-2.0, -2.0, -2.0]]), mask)
    loss = dpo_loss(Pair(*policy.chunk(2)), Pair(*reference.chunk(2)), beta=5)
    # ln(1 + e^-10)
    assert loss.tolist() == pytest.approx([4.5398899e-5], rel=1e-4)


def test_length_normalisation_does_not_reward_length():
    # The same log-probability for each token, over 2 and 4 tokens.
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    policy, reference = torch.full((2, 4), -1.0), torch.full((2, 4), -2.0)
    means = [Pair(*mean_log_probs(values, mask).chunk(2)) for values in (policy, reference)]
    sums = [Pair(*sum_log_probs(values, mask).chunk(2)) for values in (policy, reference)]
    assert dpo_loss(*means, beta=1).tolist() == pytest.approx([math.log(2)])
    # z = (2 - 4)
    assert dpo_loss(*sums, beta=1).tolist() == pytest.approx([math.log1p(math.exp(2))])


def test_an_untrained_policy_has_a_loss_of_ln_2():
    assert dpo_loss(POLICY, POLICY, beta=0.3, label_smoothing=0.2).tolist() == pytest.approx([math.log(2)])


@given(NUMBERS, NUMBERS, st.floats(0.01, 1))
def test_without_a_reference_it_is_logistic_in_the_policy_margin(chosen, rejected, beta):
    expected = math.log1p(math.exp(-beta * (chosen - rejected)))
    assert dpo_loss(pair(chosen, rejected), pair(0, 0), beta).item() == pytest.approx(expected)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0, 0.5))
def test_swapping_the_pair_swaps_the_labels(a, b, c, d, smoothing):
    swapped = dpo_loss(pair(b, a), pair(d, c), 0.1, smoothing)
    torch.testing.assert_close(swapped, dpo_loss(pair(a, b), pair(c, d), 0.1, 1 - smoothing))


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_what_policy_and_reference_share_does_not_matter(a, b, c, d, shared):
    shifted = dpo_loss(pair(a + shared, b), pair(c + shared, d), 0.1)
    torch.testing.assert_close(shifted, dpo_loss(pair(a, b), pair(c, d), 0.1))


def test_no_gradient_flows_to_the_reference():
    policy, reference = (Pair(*(values.clone().requires_grad_() for values in given)) for given in (POLICY, REFERENCE))
    dpo_loss(policy, reference, beta=0.1).sum().backward()
    # -beta s(-z) = -.1 / (1 + e^.3)
    assert policy.chosen.grad.item() == pytest.approx(-0.0425557, abs=1e-6)
    assert policy.rejected.grad.item() == pytest.approx(0.0425557, abs=1e-6)
    assert reference.chosen.grad is None
    assert reference.rejected.grad is None


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    chosen, rejected = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    reference = Pair(torch.randn(4), torch.randn(4))
    assert torch.autograd.gradcheck(lambda c, r: dpo_loss(Pair(c, r), reference, 0.7, 0.1), (chosen, rejected))


@pytest.mark.parametrize(("margin", "loss", "slope"), [(1e5, 0, 0), (-1e5, 1e4, -0.1)])
def test_bf16_log_probs_at_their_extremes_give_a_finite_loss_and_gradient(margin, loss, slope):
    chosen = torch.tensor([margin], dtype=torch.bfloat16, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.bfloat16)
    found = dpo_loss(Pair(chosen, zero), Pair(zero, zero), beta=0.1)
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss, rel=0.01)
    assert chosen.grad.item() == pytest.approx(slope, rel=0.01)


def test_rewards_are_what_the_policy_gained_over_the_reference():
    rewards = dpo_rewards(Pair(POLICY.chosen.requires_grad_(), POLICY.rejected), REFERENCE, beta=0.1)
    assert rewards.chosen.tolist() == pytest.approx([0.1])
    assert rewards.rejected.tolist() == pytest.approx([-0.2])
    assert rewards.margin.tolist() == pytest.approx([0.3])
    assert rewards.accuracy.tolist() == [1]
    assert not rewards.chosen.requires_grad
    torch.testing.assert_close(-F.logsigmoid(rewards.margin), dpo_loss(POLICY, REFERENCE, beta=0.1))
