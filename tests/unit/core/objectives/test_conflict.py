from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s.objectives import Pair, dpo_conflict, reward_conflict, sft_conflict, simpo_conflict, wrong

# Four pairs: the student prefers chosen, chosen, rejected, rejected; the ground truth prefers chosen in 1 and 3.
LN3 = math.log(3)
SCORES = Pair(torch.tensor([LN3, LN3, 0.0, 0.0]), torch.tensor([0.0, 0.0, LN3, LN3]))
CORRECT = torch.tensor([1, 0, 1, 0])
WRONG = [False, True, True, False]
ZERO = Pair(torch.zeros(4), torch.zeros(4))

TERMS = {
    "reward": reward_conflict,
    "simpo": lambda scores, correct: simpo_conflict(scores, correct, beta=2, gamma=1),
    "dpo": lambda scores, correct: dpo_conflict(scores, Pair(*map(torch.zeros_like, scores)), correct, beta=0.1),
    "sft": lambda scores, correct: sft_conflict(scores, scores, correct),
}
each_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS.keys())


def published(scores: Pair, correct: list[int], reverse) -> list[float]:
    """The loop of train.py: `reverse` gives the loss of preferring the human-rejected one by a margin."""
    losses = []
    for chosen, rejected, right in zip(scores.chosen.tolist(), scores.rejected.tolist(), correct, strict=True):
        contradicts = (chosen < rejected) == (right == 1)
        losses.append(reverse(rejected - chosen if right else chosen - rejected) if contradicts else 0.0)
    return losses


def log1pexp(x: float) -> float:
    return math.log1p(math.exp(x))


def test_wrong_is_what_contradicts_the_ground_truth():
    assert wrong(SCORES, CORRECT).tolist() == WRONG


def test_an_undecided_student_prefers_what_is_called_chosen():
    # As published: `logits >= 0`, and `chosen < rejected` compared with the label.
    assert wrong(ZERO, CORRECT).tolist() == [False, True, False, True]


def test_reward_term_worked_out_by_hand():
    # The wrong ones already prefer y- by ln 3: -ln s(ln 3) = ln 4/3.
    assert reward_conflict(SCORES, CORRECT).tolist() == pytest.approx([0, 0.2876821, 0.2876821, 0], abs=1e-6)


def test_simpo_term_worked_out_by_hand():
    # ln(1 + e^-(2 ln 3 - 1)) = ln(1 + e/9) = .2639256
    found = simpo_conflict(SCORES, CORRECT, beta=2, gamma=1)
    assert found.tolist() == pytest.approx([0, 0.2639256, 0.2639256, 0], abs=1e-6)


def test_dpo_term_worked_out_by_hand_and_the_reference_does_not_say_who_is_wrong():
    # The reference prefers y- by 1 + ln 3 in pair 2, and y+ by 1 - ln 3 in pair 3: z = -.5 and .5.
    reference = Pair(torch.tensor([9.0, 1 + LN3, 1.0, 9.0]), torch.tensor([0.0, 0.0, LN3, 0.0]))
    found = dpo_conflict(SCORES, reference, CORRECT, beta=0.5)
    # ln(1 + e^.5) = .9740770, ln(1 + e^-.5) = .4740770
    assert found.tolist() == pytest.approx([0, 0.9740770, 0.4740770, 0], abs=1e-6)


def test_sft_term_is_the_nll_of_what_the_ground_truth_rejects():
    means = Pair(torch.tensor([-1.0, -2.0, -3.0, -4.0]), torch.tensor([-5.0, -6.0, -7.0, -8.0]))
    assert sft_conflict(means, SCORES, CORRECT).tolist() == [0, 2, 7, 0]


@given(
    st.lists(st.tuples(st.integers(-8, 0), st.integers(-8, 0), st.integers(0, 1)), min_size=1, max_size=6),
    st.floats(0.1, 3),
    st.floats(0, 2),
)
def test_terms_follow_the_published_loop(rows, beta, gamma):
    chosen, rejected, correct = zip(*rows, strict=True)
    scores = Pair(*(torch.tensor(values, dtype=torch.float64) for values in (chosen, rejected)))
    right = torch.tensor(correct)
    assert reward_conflict(scores, right).tolist() == pytest.approx(
        published(scores, correct, lambda margin: log1pexp(-margin))
    )
    assert simpo_conflict(scores, right, beta, gamma).tolist() == pytest.approx(
        published(scores, correct, lambda margin: log1pexp(-(beta * margin - gamma)))
    )
    zero = Pair(*map(torch.zeros_like, scores))
    assert dpo_conflict(scores, zero, right, beta).tolist() == pytest.approx(
        published(scores, correct, lambda margin: log1pexp(-beta * margin))
    )


@each_term
def test_the_order_of_a_pair_does_not_matter(term):
    swapped = Pair(SCORES.rejected, SCORES.chosen)
    torch.testing.assert_close(term(swapped, 1 - CORRECT), term(SCORES, CORRECT))


@each_term
def test_only_wrong_pairs_have_a_gradient_and_it_makes_them_worse(term):
    scores = Pair(*(values.clone().requires_grad_() for values in SCORES))
    term(scores, CORRECT).sum().backward()
    chosen = scores.chosen.grad
    rejected = torch.zeros(4) if scores.rejected.grad is None else scores.rejected.grad
    # A step against the gradient raises the wrong one, chosen in pair 2 and rejected in pair 3.
    assert torch.sign(rejected - chosen).tolist() == [0, 1, -1, 0]


@each_term
def test_gradients_are_those_of_finite_differences(term):
    scores = [values.double().requires_grad_() for values in SCORES]
    assert torch.autograd.gradcheck(lambda c, r: term(Pair(c, r), CORRECT), scores)


def test_no_gradient_flows_to_the_reference():
    reference = Pair(torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True))
    policy = Pair(SCORES.chosen.clone().requires_grad_(), SCORES.rejected)
    dpo_conflict(policy, reference, CORRECT, beta=0.1).sum().backward()
    assert reference.chosen.grad is None
    assert reference.rejected.grad is None


@each_term
def test_bf16_scores_at_their_extremes_give_a_finite_term_and_gradient(term):
    scores = Pair(*(1e4 * (values.bfloat16() - 2) for values in SCORES))
    scores.chosen.requires_grad_()
    found = term(scores, CORRECT)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.isfinite(scores.chosen.grad).all()
