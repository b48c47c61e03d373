from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path

import pytest

from w2s.errors import InvalidArgument
from w2s.models.vetting import folder_digest, is_decisive, vet, weight_bytes

TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def safetensors(header: object = None, data: bytes = b"\0" * 24, size: int | None = None) -> bytes:
    content = json.dumps({"a": TENSOR} if header is None else header).encode()
    return struct.pack("<Q", len(content) if size is None else size) + content + data


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "bert"}')
    (path / "tokenizer_config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(safetensors())
    return path


def refused(path: Path) -> str:
    with pytest.raises(InvalidArgument) as caught:
        vet(path, "spec.model")
    assert caught.value.field == "spec.model.uri"
    return caught.value.problem


def test_sound_files_pass(folder, minilm_folder, smollm2_path):
    for path in (folder, minilm_folder, smollm2_path):
        vet(path, "model")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "x.pt", "x.pth", "x.pkl", "x.ckpt", "tf_model.h5", "x.msgpack"])
def test_pickles_alone_are_refused_and_beside_safetensors_are_not_looked_at(folder, name):
    (folder / name).write_bytes(b"anything")
    vet(folder, "model")
    (folder / "model.safetensors").unlink()
    assert refused(folder) == f"cannot be loaded: holds pickle weights ({name}); convert to safetensors"


def test_a_folder_without_weights_or_that_is_not_there_is_refused(folder):
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in refused(folder)
    shutil.rmtree(folder)
    assert "No such file" in refused(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors.index.json", "additional_chat_templates/a.jinja"]
)
def test_settings_that_are_larger_than_any_published_are_not_read(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    with (folder / name).open("ab") as file:
        # It takes no room on the disk, and would in memory.
        file.truncate(1 << 40)
    assert refused(folder) == f"cannot be loaded: {Path(name).name} is larger than 256 MiB"


def test_an_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/other"}')
    assert "is an adapter" in refused(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4,
        safetensors(size=2**62),
        safetensors(size=1 << 20),
        struct.pack("<Q", 8) + b"not json",
        safetensors([1]),
        safetensors({"a": {**TENSOR, "data_offsets": [0, 2**50]}}),
        safetensors({"a": {**TENSOR, "shape": [2**31, 2**31]}}),
        safetensors({"a": {**TENSOR, "data_offsets": [24, 48]}}),
        safetensors({"a": {**TENSOR, "dtype": "F1"}}),
        safetensors({"a": {**TENSOR, "shape": [2**62, 2**62, 0]}}),
        safetensors({"a": {**TENSOR, "shape": [-2, -3]}}),
        safetensors({"a": {**TENSOR, "shape": [2.0, 3]}}),
        safetensors({"a": {**TENSOR, "data_offsets": [24, 0]}}),
        safetensors({"a": TENSOR, "b": TENSOR}),
        safetensors({"a": TENSOR, "b": {**TENSOR, "data_offsets": [12, 36]}}, b"\0" * 36),
        safetensors({"a": TENSOR, "b": {**TENSOR, "data_offsets": [30, 54]}}, b"\0" * 54),
        # An archive's directory is at a file's end.
        safetensors(data=b"\0" * 24 + b"PK\x05\x06" + b"\0" * 18),
        safetensors(data=b"\0" * 23),
    ],
)
def test_safetensors_whose_header_does_not_fit_the_file_are_refused(folder, content):
    (folder / "second.safetensors").write_bytes(content)
    assert "cannot be loaded" in refused(folder)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"num_hidden_layers": 2}, "num_hidden_layers=2, and its weights have 1 at most"),
        ({"body": {"n_layer": 20_000}}, "n_layer=20000, and its weights have 1 at most"),
        ({"hidden_size": 4}, "hidden_size=4, and its weights have 3 at most"),
        ({"text_config": {"vocab_size": 1e12}}, "vocab_size=1000000000000.0, and its weights have 3 at most"),
    ],
)
def test_a_configuration_that_is_larger_than_its_weights_is_refused(folder, config, problem):
    (folder / "config.json").write_text('{"num_hidden_layers": 1, "hidden_size": 3, "max_position_embeddings": 512}')
    vet(folder, "model")
    (folder / "config.json").write_text(json.dumps(config))
    assert problem in refused(folder)


@pytest.mark.parametrize(
    "index", ['{"weight_map": {"a": "../other/x.safetensors"}}', '{"weight_map": {"a": "absent"}}', "[]"]
)
def test_an_index_of_shards_that_are_not_in_the_folder_is_refused(folder, index):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model.safetensors"}}')
    vet(folder, "model")
    (folder / "model.safetensors.index.json").write_text(index)
    assert "model.safetensors.index.json" in refused(folder)


def test_a_damaged_gguf_file_is_refused(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"not gguf" * 10)
    assert refused(tmp_path / "x.gguf") == "cannot be loaded: is no GGUF file"


def test_a_folders_digest_is_over_the_files_that_decide(folder):
    # By hand: sha256 over the sorted names, sizes and hashes as compact JSON.
    listing = [
        [name, len(content := (folder / name).read_bytes()), hashlib.sha256(content).hexdigest()]
        for name in ("config.json", "model.safetensors", "tokenizer_config.json")
    ]
    expected = "sha256:" + hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()
    assert folder_digest(folder) == expected
    for name in (
        "README.md",
        "evil.py",
        "pytorch_model.bin",
        "onnx/config.json",
        "onnx/model.safetensors",
        ".gitattributes",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("anything")
    assert folder_digest(folder) == expected


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer.model.",
        "tekken.json",
        "qwen.tiktoken",
        "chat_template.jinja",
        "additional_chat_templates/tool_use.jinja",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
    ],
)
def test_each_file_that_decides_changes_the_digest(folder, name):
    before = folder_digest(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("something else")
    assert is_decisive(name)
    assert folder_digest(folder) != before


def test_each_file_that_a_tokenizer_is_made_of_decides(tokenizer_files):
    names = {name for _, name in tokenizer_files}
    assert {"vocab.txt", "merges.txt", "bpe.codes", "source.spm", "normalizer.json", "vocab-src.json"} <= names
    assert not [name for name in names if not is_decisive(name)]


def test_a_file_reached_through_a_link_counts_as_the_file(folder, tmp_path):
    # As in the hub client's cache.
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert folder_digest(linked) == folder_digest(folder)


def test_a_gguf_files_digest_is_its_own(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"content")
    assert folder_digest(tmp_path / "x.gguf") == "sha256:" + hashlib.sha256(b"content").hexdigest()


def test_memory_is_counted_by_parameters(folder, smollm2_path):
    half = {"a": {**TENSOR, "dtype": "BF16", "data_offsets": [0, 12]}}
    (folder / "second.safetensors").write_bytes(safetensors(half, b"\0" * 12))
    assert (weight_bytes(folder), weight_bytes(folder, 2)) == (12 * 4, 12 * 2)
    assert weight_bytes(smollm2_path) == 134_515_008 * 4
