from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel

from w2s.objectives import chunked_log_probs, token_log_probs

POSITIONS, WIDTH, VOCABULARY = 23, 6, 11


class Sizes(TorchDispatchMode):
    """The most numbers that one tensor holds, of all that are computed."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(value, torch.Tensor):
                self.most = max(self.most, value.numel())
        return out


def inputs(dtype=torch.float32):
    torch.manual_seed(0)
    hidden = torch.randn(POSITIONS, WIDTH, dtype=dtype, requires_grad=True)
    head = torch.nn.Linear(WIDTH, VOCABULARY, dtype=dtype)
    return hidden, torch.randint(VOCABULARY, (POSITIONS,)), head


def test_is_the_log_softmax_of_the_logits():
    # softmax (1/6, 2/6, 3/6) and (1/8, 1/8, 6/8)
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 6.0]]).log()
    found = chunked_log_probs(logits, torch.tensor([1, 0]), torch.nn.Identity(), chunk=1)
    assert found.tolist() == pytest.approx([-math.log(3), -math.log(8)], abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 4, POSITIONS - 1, POSITIONS, 100])
def test_values_and_gradients_do_not_depend_on_the_chunk(chunk):
    hidden, targets, head = inputs()
    weights = torch.linspace(-1, 1, POSITIONS)
    chunked = chunked_log_probs(hidden, targets, head, chunk)
    whole = head(hidden).log_softmax(dim=-1)[torch.arange(POSITIONS), targets]
    torch.testing.assert_close(chunked, whole)
    results = [
        torch.autograd.grad((found * weights).sum(), [hidden, head.weight, head.bias]) for found in (chunked, whole)
    ]
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_gradients_are_those_of_finite_differences():
    hidden, targets, head = inputs(torch.float64)

    def log_probs(hidden, weight):
        return chunked_log_probs(hidden, targets[:5], lambda h: h @ weight.T, chunk=2)

    assert torch.autograd.gradcheck(log_probs, (hidden[:5].detach().requires_grad_(), head.weight))


def test_no_more_than_a_chunk_of_logits_exists_at_once_in_either_pass():
    positions, chunk, vocabulary = 64, 4, 1000
    hidden, head = torch.randn(positions, 8, requires_grad=True), torch.nn.Linear(8, vocabulary)
    targets = torch.randint(vocabulary, (positions,))
    with Sizes() as sizes:
        chunked_log_probs(hidden, targets, head, chunk).sum().backward()
    # The gradient of the head's weight is the largest thing there has to be.
    assert sizes.most == head.weight.numel() == 8000
    with Sizes() as sizes:
        chunked_log_probs(hidden, targets, head, positions).sum().backward()
    assert sizes.most == positions * vocabulary


def test_logits_are_not_kept_for_the_backward_pass():
    hidden, targets, head = inputs()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        chunked_log_probs(hidden, targets, head, chunk=4)
    assert max(kept, default=0) < 4 * VOCABULARY


def test_a_frozen_head_and_a_frozen_body_are_possible():
    hidden, targets, head = inputs()
    chunked_log_probs(hidden.detach(), targets, head, chunk=4).sum().backward()
    assert head.weight.grad.abs().sum() > 0
    head.requires_grad_(False)
    chunked_log_probs(hidden, targets, head, chunk=4).sum().backward()
    assert hidden.grad.abs().sum() > 0
    with torch.no_grad():
        assert not chunked_log_probs(hidden, targets, head, chunk=4).requires_grad


def test_autocast_reaches_the_chunks_and_the_weight_keeps_its_precision():
    hidden, targets, head = inputs()
    results = []
    for chunk in (4, POSITIONS):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = chunked_log_probs(hidden, targets, head, chunk)
        results.append((found, *torch.autograd.grad(found.sum(), [hidden, head.weight])))
    for found, expected in zip(*results, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    exact = chunked_log_probs(hidden, targets, head, 4)
    assert not torch.equal(results[0][0], exact)
    torch.testing.assert_close(results[0][0], exact, rtol=0.02, atol=0.05)


def test_bf16_logits_at_their_extremes_give_finite_values_and_gradients():
    logits = torch.tensor([[1e4, -1e4, 0.0], [-3e38, 3e38, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    found = chunked_log_probs(logits, torch.tensor([1, 1]), torch.nn.Identity(), chunk=1)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([-20_000, 0], rel=0.01)
    assert torch.isfinite(logits.grad).all()


def test_a_token_outside_the_vocabulary_is_no_silent_zero():
    hidden, _, head = inputs()
    with pytest.raises(RuntimeError, match="out of bounds"):
        chunked_log_probs(hidden, torch.full((POSITIONS,), -100), head, chunk=4)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=13, n_positions=16, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


IDS = torch.tensor([[5, 1, 12, 3, 4], [2, 2, 7, 0, 0]])
MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])


def test_tokens_of_a_language_model_are_predicted_by_those_before(model):
    found = token_log_probs(model.transformer(IDS).last_hidden_state, IDS, MASK, model.lm_head, chunk=2)
    full = model(IDS).logits.log_softmax(dim=-1).detach()
    expected = [
        [0, full[0, 1, 12], full[0, 2, 3], full[0, 3, 4]],
        # The first token counts in the mask, but nothing predicts it.
        [full[1, 0, 2], full[1, 1, 7], 0, 0],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_masked_and_padded_positions_do_not_matter(model):
    hidden = model.transformer(IDS).last_hidden_state.detach()
    spoilt, ids = hidden.clone(), IDS.clone()
    # What predicts no counted token, and the ids that do not count.
    spoilt[0, [0, 4]] = torch.nan
    spoilt[1, 2:] = torch.nan
    ids[0, :2], ids[1, 3:] = -100, -100
    spoilt.requires_grad_()
    found = token_log_probs(spoilt, ids, MASK, model.lm_head, chunk=2)
    torch.testing.assert_close(found, token_log_probs(hidden, IDS, MASK, model.lm_head, chunk=2))
    found.sum().backward()
    assert torch.isfinite(spoilt.grad).all()
    assert (spoilt.grad[0, [0, 4]] == 0).all()


def test_a_batch_without_a_counted_token_is_zero_and_can_be_trained_on(model):
    hidden = model.transformer(IDS).last_hidden_state
    found = token_log_probs(hidden, IDS, torch.zeros_like(MASK), model.lm_head, chunk=2)
    found.sum().backward()
    assert found.tolist() == [[0] * 4] * 2
