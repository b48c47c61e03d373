from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import causal

from w2s.models.adapters import adapt
from w2s.models.scorer import CompletionScorer
from w2s.models.spec import Lora

INPUTS = {
    "input_ids": torch.tensor([[7, 0, 200, 3, 9], [0, 5, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    "completion_mask": torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]]),
}


def naive(model):
    """Sums of the masked tokens' log-probabilities from all logits at once, in float64."""
    logits = model(input_ids=INPUTS["input_ids"], attention_mask=INPUTS["attention_mask"]).logits.double()
    log_p = logits.log_softmax(dim=-1)[:, :-1].gather(-1, INPUTS["input_ids"][:, 1:, None])[..., 0]
    return (log_p * INPUTS["completion_mask"][:, 1:]).sum(dim=-1)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "cohere"])
@pytest.mark.parametrize("positions", [1, 2, 99])
def test_sums_and_gradients_do_not_depend_on_how_positions_are_cut(architecture, positions):
    scorer, model = CompletionScorer(causal(architecture)), causal(architecture)
    scorer._chunk = positions
    found, expected = scorer(**INPUTS), naive(model)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)
    found.sum().backward()
    expected.sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, parameter in scorer.model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-3, rtol=1e-3)


def test_sums_are_in_float32_though_the_model_computes_in_bfloat16():
    scorer = CompletionScorer(causal("llama"))
    with torch.autocast("cpu", torch.bfloat16):
        found = scorer(**INPUTS)
    assert found.dtype == torch.float32
    # bfloat16 has 8 bits: each of at most three logits of size 10 is off by 10 / 256 or so.
    torch.testing.assert_close(found.double(), naive(causal("llama")), atol=1.0, rtol=0.05)


def test_the_reference_is_the_model_that_the_adapters_were_put_on():
    scorer = CompletionScorer(causal("llama"))
    adapt(scorer.model.base_model, Lora(rank=2))
    for parameter in scorer.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1
    with torch.no_grad(), scorer.without_adapters():
        reference = scorer(**INPUTS)
    torch.testing.assert_close(reference.double(), naive(causal("llama")), atol=1e-4, rtol=0)
    assert not torch.allclose(scorer(**INPUTS), reference, atol=1e-2)
