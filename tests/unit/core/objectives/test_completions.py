from __future__ import annotations

import math

import pytest
import torch
from transformers.loss.loss_utils import ForCausalLMLoss

from w2s.objectives import mean_log_probs, sequence_mean_nll, sum_log_probs, token_mean_nll

# Two completions of 2 and 3 tokens, after prompts of 1 and 0.
LOG_PROBS = torch.tensor([[-9.0, -1.0, -3.0, -9.0], [-0.5, -1.0, -4.5, -9.0]])
MASK = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 0]])


def test_sums_and_means_are_over_the_completion():
    assert sum_log_probs(LOG_PROBS, MASK).tolist() == [-4, -6]
    assert mean_log_probs(LOG_PROBS, MASK).tolist() == [-2, -2]


def test_token_mean_weighs_tokens_the_same():
    assert token_mean_nll(LOG_PROBS, MASK).item() == 10 / 5


def test_sequence_mean_weighs_completions_the_same():
    log_probs = torch.tensor([[-1.0, -1.0, -1.0], [-5.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert sequence_mean_nll(log_probs, mask).tolist() == [1, 5]
    assert token_mean_nll(log_probs, mask).item() == 2


def test_token_means_of_micro_batches_add_up_to_that_of_the_batch():
    parts = [token_mean_nll(LOG_PROBS[[row]], MASK[[row]], tokens=MASK.sum()) for row in range(2)]
    assert sum(parts).item() == token_mean_nll(LOG_PROBS, MASK).item()


@pytest.mark.parametrize("loss", [token_mean_nll, sequence_mean_nll])
@pytest.mark.parametrize("outside", [0.0, -math.inf, math.nan])
def test_what_is_outside_the_mask_does_not_matter(loss, outside):
    log_probs = LOG_PROBS.masked_fill(MASK == 0, outside).requires_grad_()
    value = loss(log_probs, MASK)
    value.mean().backward()
    assert torch.equal(value, loss(LOG_PROBS, MASK))
    assert (log_probs.grad[MASK == 0] == 0).all()
    assert (log_probs.grad[MASK == 1] < 0).all()


def test_a_completion_without_tokens_has_no_mean():
    # 0 would be the log-probability of certainty.
    assert mean_log_probs(torch.zeros(1, 3), torch.zeros(1, 3)).isnan().all()


def test_token_mean_is_the_loss_of_transformers():
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    mask = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
    expected = ForCausalLMLoss(logits, ids.masked_fill(mask == 0, -100), vocab_size=7)
    log_probs = logits[:, :-1].log_softmax(dim=-1).gather(-1, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(token_mean_nll(log_probs, mask[:, 1:]), expected)


def test_bf16_log_probs_are_summed_in_fp32():
    # -301 has a digit more than bf16 holds.
    log_probs = torch.full((1, 301), -1.0, dtype=torch.bfloat16)
    assert sum_log_probs(log_probs, torch.ones(1, 301)).item() == -301


def test_gradients_are_those_of_finite_differences():
    log_probs = LOG_PROBS.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: token_mean_nll(x, MASK), log_probs)
    assert torch.autograd.gradcheck(lambda x: sequence_mean_nll(x, MASK), log_probs)
