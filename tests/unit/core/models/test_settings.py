"""Settings of a model that lead to code, or to files that are not its own, are refused before a library reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from w2s.errors import InvalidArgument
from w2s.models.settings import vet_settings

CONFIG, TOKENIZER, SPECIAL = "config.json", "tokenizer_config.json", "special_tokens_map.json"


def refused(folder: Path, name: str, settings: object) -> str:
    (folder / name).write_text(settings if isinstance(settings, str) else json.dumps(settings))
    with pytest.raises(InvalidArgument) as caught:
        vet_settings(folder, "spec.model")
    assert caught.value.field == "spec.model.uri"
    return caught.value.problem


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        (CONFIG, {"auto_map": {"AutoModel": "evil.Model"}}, "code of its own (auto_map); remote code is never run"),
        (TOKENIZER, {"auto_map": ["evil.Tokenizer"]}, "code of its own (auto_map); remote code is never run"),
        (CONFIG, {"attn_implementation": "evil/kernels"}, "kernels of its own"),
        (CONFIG, {"_attn_implementation": "evil/kernels:code"}, "kernels of its own"),
        (CONFIG, {"body": {"parts": [{"_experts_implementation": "evil/kernels"}]}}, "kernels of its own"),
        (CONFIG, {"transformers_weights": "adapter_model.bin"}, "weights that are no safetensors"),
        (CONFIG, {"transformers_weights": "onnx/model.safetensors"}, "weights that are in no file of its folder"),
        (CONFIG, {"configuration_files": ["config.4.0.0.json"]}, "in place of its own (configuration_files)"),
        (TOKENIZER, {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}, "in place of its own (fast_tokenizer_files)"),
        (CONFIG, {"model_type": "rag"}, "tokenizers in folders below"),
        (TOKENIZER, {"tokenizer_class": "RagTokenizerFast"}, "tokenizers in folders below"),
        (TOKENIZER, {"vocab": "/etc/passwd"}, "a file to be read, by vocab"),
        (TOKENIZER, {"vocab_file": 0}, "a file to be read, by vocab_file"),
        (TOKENIZER, {"merges": "/etc/passwd"}, "a file to be read, by merges"),
        (TOKENIZER, {"gguf_file": "/other.gguf"}, "a file to be read, by gguf_file"),
        (TOKENIZER, {"init_inputs": ["/etc/passwd"]}, "a file to be read, by init_inputs"),
        (TOKENIZER, {"sp_model_kwargs": {"model_file": "/etc/passwd"}}, "a file to be read, by model_file"),
        (TOKENIZER, {"tokenizer_path": "tekken.json"}, "a file to be read, by tokenizer_path"),
        (SPECIAL, {"vocab": "/etc/passwd"}, "a file to be read, by vocab"),
        # What this file says is merged in after the folder's own files.
        (SPECIAL, {"tokenizer_file": "/etc/passwd"}, "a file to be read, by tokenizer_file"),
        (CONFIG, [], "is no JSON object"),
        (CONFIG, "{", "is damaged"),
        (TOKENIZER, "[" * 100_000, "is damaged"),
    ],
)
def test_settings_that_lead_to_code_or_to_other_files_are_refused(tmp_path, name, settings, problem):
    found = refused(tmp_path, name, settings)
    assert found.startswith(f"cannot be loaded: {name} ")
    assert problem in found


def test_no_tokenizer_takes_a_file_of_the_settings_choice(tmp_path, tokenizer_files):
    settings = {setting for setting, _ in tokenizer_files} - {"tokenizer_file"}
    assert {"vocab_file", "merges_file", "vocab", "source_spm"} <= settings
    for setting in settings:
        assert f"by {setting};" in refused(tmp_path, TOKENIZER, {setting: "/etc/passwd"})


def test_settings_as_they_are_published_pass(tmp_path, minilm_folder):
    vet_settings(minilm_folder, "model")
    (tmp_path / CONFIG).write_text(
        json.dumps({"attn_implementation": "sdpa", "transformers_weights": "model.safetensors", "_name_or_path": "a/b"})
    )
    (tmp_path / TOKENIZER).write_text(
        json.dumps(
            {
                "tokenizer_class": "T5Tokenizer",
                "name_or_path": "google/t5-v1_1-xxl",
                "special_tokens_map_file": "/home/someone/.cache/special_tokens_map.json",
                "tokenizer_file": "/root/.cache/tokenizer.json",
                "vocab_file": None,
                "sp_model_kwargs": {},
                "init_inputs": [],
                "eos_token": "</s>",
                "added_tokens_decoder": {"0": {"content": "</s>", "special": True}},
                "chat_template": "{{ '/' }}",
            }
        )
    )
    (tmp_path / SPECIAL).write_text('{"eos_token": "</s>", "additional_special_tokens": ["<a/b>"]}')
    vet_settings(tmp_path, "model")
