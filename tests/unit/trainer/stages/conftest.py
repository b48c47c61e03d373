"""Tiny models below a folder, and small inputs beside them."""

from __future__ import annotations

import pytest
import torch
from helpers.run_inputs import Inputs
from helpers.tiny_models import byte_tokenizer, causal, headed

from w2s.artifacts import Parent
from w2s.models.sources import Weights


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, model in {"encoder": headed("bert"), "decoder": causal("llama")}.items():
        model.save_pretrained(root / name)
        byte_tokenizer().save_pretrained(root / name)
    return root


@pytest.fixture(scope="session")
def weights(models):
    """Where the tiny models are, by their names."""
    return lambda name: Weights(str(models / name), Parent(role="base", uri=f"file://{models}/{name}"))


@pytest.fixture(scope="session")
def inputs(models, tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("artifacts"), models)
