from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import causal, headed

from w2s.errors import InvalidArgument
from w2s.models.adapters import adapt, merged, without_adapters
from w2s.models.spec import Lora

IDS = torch.tensor([[7, 0, 200, 3]])
MAKE = {"bert": headed, "roberta": headed}


def body_of(architecture, **changes):
    return MAKE.get(architecture, causal)(architecture, **changes).base_model


def adapted(architecture, **lora):
    """A body whose adapters change what it does."""
    body = body_of(architecture)
    adapt(body, Lora(rank=2, **lora))
    torch.manual_seed(0)
    for parameter in body.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return body


def hidden(body):
    return body(IDS).last_hidden_state


# GPT-2's linear layers keep their weights the other way around.
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "bert", "roberta"])
def test_everything_that_trains_is_trained_and_merges(architecture):
    body = adapted(architecture)
    out = hidden(body)
    assert not torch.allclose(out, hidden(body_of(architecture)), atol=1e-2)
    torch.testing.assert_close(hidden(merged(body)), out, atol=1e-4, rtol=1e-4)
    out.square().sum().backward()
    trained = {name: parameter for name, parameter in body.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    # Processes that train together wait for each gradient.
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []


def test_without_its_adapters_a_model_does_what_it_did():
    body = adapted("llama")
    trained = {name for name, parameter in body.named_parameters() if parameter.requires_grad}
    before = hidden(body)
    with without_adapters(body):
        assert torch.equal(hidden(body), hidden(body_of("llama")))
    assert torch.equal(hidden(body), before)
    assert {name for name, parameter in body.named_parameters() if parameter.requires_grad} == trained


def test_only_layers_of_the_names_given_are_adapted():
    body = adapted("llama", target_modules=("q_proj", "layers.1.mlp.up_proj"))
    found = {name.partition(".lora_")[0] for name, p in body.named_parameters() if p.requires_grad}
    assert found == {"layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.1.mlp.up_proj"}


# Merged into embeddings, adapters would change a tied head too, which was not trained with them.
@pytest.mark.parametrize("name", ["nothing", "embed_tokens", "proj", "mlp"])
def test_a_name_that_is_no_linear_layers_is_refused_beside_good_ones(name):
    with pytest.raises(InvalidArgument, match=rf"among .*k_proj, o_proj, q_proj.*; got {name}$") as caught:
        adapt(body_of("llama"), Lora(target_modules=("q_proj", name)))
    assert caught.value.field == "model.lora.target_modules"


def test_a_body_without_linear_layers_is_refused():
    body = body_of("llama")
    del body.layers[:]
    with pytest.raises(InvalidArgument, match="needs linear layers"):
        adapt(body, Lora())
