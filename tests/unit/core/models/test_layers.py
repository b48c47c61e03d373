from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModel, LlamaConfig

from w2s.errors import InvalidArgument
from w2s.models.layers import freeze_below, keep_layers, layer_stack


@pytest.fixture
def llama():
    """A causal body of three layers, with embeddings before them and a norm behind."""
    config = LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=3, num_attention_heads=2)
    return AutoModel.from_config(config)


def trained(body) -> set[str]:
    """The parts with parameters that train: an embedding, a layer's number or what is behind."""
    names = {name for name, parameter in body.named_parameters() if parameter.requires_grad}
    return {next((part for part in name.split(".") if part.isdigit()), name.split(".")[0]) for name in names}


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_keeps_the_first_layers_and_says_so_in_the_configuration(llama, layers):
    first = list(layer_stack(llama))[:layers]
    keep_layers(llama, layers)
    assert list(layer_stack(llama)) == first
    assert llama.config.num_hidden_layers == layers
    assert llama(torch.tensor([[1, 2, 3]])).last_hidden_state.shape == (1, 3, 8)


def test_a_cut_body_computes_what_the_lower_layers_of_the_whole_one_do(build_model):
    inputs = build_model().tokenizer(["a text of some words"], return_tensors="pt")
    with torch.inference_mode():
        states = build_model(layers=6).model.body.eval()(**inputs, output_hidden_states=True).hidden_states
        for layers in (0, 2):
            cut = build_model(layers=layers).model.body.eval()(**inputs).last_hidden_state
            assert torch.equal(cut, states[layers])


def test_more_layers_than_there_are_is_refused(llama):
    with pytest.raises(InvalidArgument, match=r"model\.layers: must be in \[0, 3\].*got 4"):
        keep_layers(llama, 4)
    with pytest.raises(InvalidArgument, match=r"model\.train_from_layer: must be in \[0, 3\]"):
        freeze_below(llama, 4)


def test_a_body_with_two_stacks_is_refused(llama):
    llama.decoder = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
    with pytest.raises(InvalidArgument, match="no single stack of 3 layers"):
        keep_layers(llama, 1)


@pytest.mark.parametrize(
    ("layer", "parts"),
    [
        (0, {"embed_tokens", "0", "1", "2", "norm"}),
        (1, {"1", "2", "norm"}),
        (2, {"2", "norm"}),
        (3, set()),
    ],
)
def test_exactly_what_comes_from_the_layer_on_trains(llama, layer, parts):
    freeze_below(llama, layer)
    assert trained(llama) == parts


@pytest.mark.parametrize(
    ("layers", "train_from", "parts"),
    [
        (2, 0, {"embeddings", "0", "1"}),
        (2, 1, {"1"}),
        (2, 2, set()),
        (6, 4, {"4", "5"}),
        (0, 0, set()),
    ],
)
def test_a_classifier_trains_its_head_and_what_the_spec_says(build_model, layers, train_from, parts):
    model = build_model(layers=layers, train_from_layer=train_from).model
    assert trained(model.body) == parts
    assert all(parameter.requires_grad for parameter in model.head.parameters())
    assert model.config.body_frozen == (not parts)


def test_frozen_modules_stay_in_evaluation_mode_and_the_rest_trains(build_model):
    model = build_model(layers=2, train_from_layer=1).model.train()
    lower, upper = layer_stack(model.body)
    assert not any(module.training for part in (model.body.embeddings, lower) for module in part.modules())
    assert all(module.training for module in upper.modules())
