from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from w2s_trainer.loop.memory import activation_bytes, needs_checkpointing, training_bytes

HIDDEN, SEQUENCE = 64, 32
MODELS = {
    "llama": (LlamaModel, LlamaConfig, {"hidden_size": HIDDEN, "intermediate_size": 192}, 192),
    "bert": (BertModel, BertConfig, {"hidden_size": HIDDEN, "intermediate_size": 256}, 256),
    "gpt2": (GPT2Model, GPT2Config, {"n_embd": HIDDEN, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}, 256),
}  # fmt: skip


def kept(model, rows, *, bfloat16):
    """Bytes of the storages that autograd keeps, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage
        return tensor

    ids = torch.ones(rows, SEQUENCE, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", enabled=bfloat16):
        outputs = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    found = sum(storage.nbytes() for storage in storages.values())
    assert outputs.requires_grad
    return found


@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("name", MODELS)
def test_no_architecture_keeps_more_than_is_planned_and_none_much_less(name, bfloat16):
    model_class, config_class, sizes, inner = MODELS[name]

    def growth(layers):
        config = config_class(vocab_size=8, num_hidden_layers=layers, num_attention_heads=2, use_cache=False, **sizes)
        model = model_class(config).train()
        for part in model.modules():
            # On a CPU, attention with dropout keeps its matrix, as no kernel of a GPU does.
            if hasattr(part, "is_causal"):
                part.eval()
        return kept(model, 4, bfloat16=bfloat16) - kept(model, 2, bfloat16=bfloat16)

    found = growth(3) - growth(1)
    planned = activation_bytes(2, HIDDEN, inner, 2 * SEQUENCE, bfloat16=bfloat16)
    assert found <= planned <= 1.7 * found


def model_of(trained, frozen):
    """Weights of so many numbers, and one layer of hidden size 10 around an MLP of 20."""
    parts = nn.ParameterList(
        [nn.Parameter(torch.empty(trained)), nn.Parameter(torch.empty(frozen), requires_grad=False)]
    )
    parts.config = SimpleNamespace(num_hidden_layers=1, hidden_size=10, intermediate_size=20)
    return parts


def test_states_are_shared_out_and_activations_and_copies_are_not():
    model = model_of(trained=1000, frozen=500)
    # 16 bytes of what trains and 4 of what does not; 35 x 10 + 8 x 20 a token; 2 of each weight.
    assert training_bytes(model, 7, bfloat16=True, shards=1) == 18_000 + 7 * 510 + 3_000
    assert training_bytes(model, 7, bfloat16=True, shards=4) == 4_500 + 7 * 510 + 3_000
    assert training_bytes(model, 7, bfloat16=False, shards=1) == 18_000 + 7 * 810


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, False),
        ({"total": 30_700}, True),
        ({"total": 30_700, "shards": 2}, False),
        ({"total": 30_700, "bfloat16": False}, False),
        ({"longest": 8}, True),
        ({"total": 1, "device": "cpu"}, False),
    ],
)
def test_a_gpu_recomputes_activations_when_more_than_80_percent_of_it_would_be_full(monkeypatch, change, expected):
    settings = {"total": 30_720, "shards": 1, "bfloat16": True, "longest": 7, "device": "cuda", **change}
    gpu = SimpleNamespace(total_memory=settings["total"])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    model = model_of(trained=1000, frozen=500)
    found = needs_checkpointing(
        model, settings["longest"], 6, torch.device(settings["device"]),
        bfloat16=settings["bfloat16"], shards=settings["shards"],
    )  # fmt: skip
    assert found is expected


def test_nothing_is_computed_again_for_a_model_that_does_not_train():
    frozen = model_of(0, 10).requires_grad_(False)
    assert not needs_checkpointing(frozen, 10, 10, torch.device("cuda"), bfloat16=True, shards=1)
