from __future__ import annotations

import json
import pickle
import shutil
import time
from pathlib import Path
from threading import Event, Thread

import gguf
import numpy as np
import pytest
import torch
from helpers.tiny_models import byte_tokenizer, causal, headed
from safetensors.torch import load_file, save_file

from w2s.errors import InvalidArgument
from w2s.models.causal_engine import CausalEngine
from w2s.models.classifier_engine import ClassifierEngine
from w2s.models.inputs import Completion, Row
from w2s.models.loading import load_engine
from w2s.models.pretrained import load_tokenizer
from w2s.models.prompts import PromptTemplate
from w2s.models.sequence_head import HeadClassifier, RewardEngine
from w2s.models.spec import ClassifierReading, LanguageModelReading, RewardReading

CPU = torch.device("cpu")
PROMPT = PromptTemplate(template="{text}?", answers=(" y", " n"), label_names=("yes", "no"))


@pytest.fixture
def publish(tmp_path):
    """Writes a model's folder."""

    def write(model, **tokenizer) -> Path:
        model.save_pretrained(tmp_path / "model")
        byte_tokenizer(**tokenizer).save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return write


@pytest.fixture
def ours(build_model, tmp_path):
    """A classifier that the trainer made."""
    build_model(layers=1, max_length=9, label_names=["left", "right"]).save(tmp_path / "ours")
    return tmp_path / "ours"


def load(path, reading, dtype="auto"):
    return load_engine(path, reading, CPU, dtype, "spec.model.model")


def refused(path, reading) -> str:
    with pytest.raises(InvalidArgument) as caught:
        load(path, reading)
    assert caught.value.field == "spec.model.model.uri"
    return caught.value.problem


def test_a_classifier_is_read_as_it_was_published(publish):
    engine = load(publish(headed("llama")), ClassifierReading())
    assert isinstance(engine, HeadClassifier)
    assert engine.label_names == ("class 0", "class 1", "class 2")
    ((item,),) = engine.encode_rows([Row("a text")])
    with torch.inference_mode():
        expected = headed("llama")(torch.tensor([list(b"a text")])).logits[0]
    np.testing.assert_allclose(engine.run([item])[0], expected, atol=1e-5)


def test_a_reading_names_the_classes_and_the_length(publish):
    engine = load(publish(headed("bert")), ClassifierReading(label_names=("a", "b", "c"), max_length=4))
    assert engine.label_names == ("a", "b", "c")
    assert engine.encode_rows([Row("a long text")])[0][0].length == 4


def test_a_reward_model_is_read_with_or_without_turns(publish):
    path = publish(headed("llama", labels=1), chat=True)
    plain, turns = (load(path, RewardReading(chat_template=chat)) for chat in (False, True))
    assert isinstance(plain, RewardEngine)
    lengths = [engine.encode_completions([Completion("a", "b")])[0].length for engine in (plain, turns)]
    assert lengths == [2, len("<|user|>a<|assistant|>b") + 2]


def test_a_language_model_labels_with_a_prompt(publish):
    engine = load(publish(causal("llama")), LanguageModelReading(prompt=PROMPT))
    assert isinstance(engine, CausalEngine)
    assert engine.label_names == ("yes", "no")
    assert engine.generates


def test_a_classifier_of_the_trainer_says_itself_how_it_is_read(ours):
    for reading in (None, ClassifierReading()):
        engine = load(ours, reading)
        assert isinstance(engine, ClassifierEngine)
        assert engine.label_names == ("left", "right")
        assert engine.encode_rows([Row("word " * 50)])[0][0].length == 9
    for reading in (ClassifierReading(max_length=4), ClassifierReading(label_names=("a", "b")), RewardReading()):
        assert "says itself how it is read" in refused(ours, reading)


def test_any_other_model_must_be_told(publish):
    assert "no model that says itself how it is read" in refused(publish(headed("bert")), None)


def test_a_reading_that_does_not_fit_is_the_callers_error(publish):
    path = publish(headed("bert"))
    assert "is no reward model: it has 3 outputs" in refused(path, RewardReading())
    assert "label_names has 2 entries" in refused(path, ClassifierReading(label_names=("a", "b")))
    assert "chat template" in refused(publish(causal("gpt2")), LanguageModelReading(chat_template=True))


@pytest.mark.parametrize("reading", [ClassifierReading(), LanguageModelReading()])
def test_a_body_without_the_head_that_is_read_is_refused(minilm_folder, reading):
    # transformers would draw the head at random and only log it.
    assert "cannot be loaded: lacks" in refused(minilm_folder, reading)


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_weights_have_the_dtype_asked_for(publish, dtype):
    engine = load(publish(headed("bert").to(torch.bfloat16)), ClassifierReading(), dtype)
    expected = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    assert {parameter.dtype for parameter in engine._model.parameters()} == {expected}
    assert not engine._model.training


@pytest.mark.parametrize(
    "damage", ["cut short", "misshapen", "unknown", "no config", "no tokenizer", "bad tokenizer", "wrong type"]
)
@pytest.mark.parametrize("reading", [ClassifierReading(), LanguageModelReading(), None])
def test_what_cannot_be_loaded_is_the_callers_error(publish, ours, damage, reading):
    path = ours if reading is None else publish(headed("llama"))
    config = json.loads((path / "config.json").read_text())
    if damage == "cut short":
        (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:1000])
    elif damage == "no config":
        (path / "config.json").unlink()
    elif damage == "bad tokenizer":
        (path / "tokenizer.json").write_text('{"version": "1.0"}')
    elif damage == "no tokenizer":
        for file in path.glob("*token*"):
            file.unlink()
        (path / "vocab.txt").unlink(missing_ok=True)
    else:
        changes = {
            "misshapen": {"hidden_size": 96, "intermediate_size": 7},
            "unknown": {"model_type": "unknown-kind"},
            "wrong type": {"num_hidden_layers": "many", "num_attention_heads": []},
        }[damage]
        target = config["body"] if reading is None else config
        target.update(changes)
        (path / "config.json").write_text(json.dumps(config))
    assert refused(path, reading)


def test_missing_tensors_are_refused(publish):
    path = publish(causal("llama"))
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    problem = refused(path, LanguageModelReading())
    assert problem == "cannot be loaded: lacks 1 tensors, such as model.layers.1.mlp.up_proj.weight"


class Touch:
    """Unpickles by making a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("reading", [ClassifierReading(), None])
def test_no_code_that_a_folder_carries_is_run(publish, ours, tmp_path, reading, beside):
    marker = tmp_path / "marker"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    path = ours if reading is None else publish(headed("llama"))
    (path / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(marker)))
    (path / "modeling_evil.py").write_text(code)
    (path / "sitecustomize.py").write_text(code)
    if not beside:
        config = json.loads((path / "config.json").read_text())
        maps = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForSequenceClassification"), "modeling_evil.Evil")
        (path / "config.json").write_text(json.dumps({**config, "auto_map": maps}))
        assert "remote code is never run" in refused(path, reading)
        (path / "config.json").write_text(json.dumps({**config, "transformers_weights": "adapter_model.bin"}))
        assert "are no safetensors" in refused(path, reading)
        (path / "config.4.0.0.json").write_text(json.dumps({**config, "transformers_weights": "adapter_model.bin"}))
        (path / "config.json").write_text(json.dumps({**config, "configuration_files": ["config.4.0.0.json"]}))
        assert "in place of its own" in refused(path, reading)
    else:
        load(path, reading)
    assert not marker.exists()
    # They would have done it.
    exec(compile(code, "evil", "exec"))
    assert marker.exists()


def test_no_file_elsewhere_becomes_a_vocabulary(publish, tmp_path):
    path = publish(causal("llama"))
    (tmp_path / "secret").write_text("a secret\n")
    settings = {"tokenizer_class": "BertTokenizer", "vocab": str(tmp_path / "secret")}
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    problem = refused(path, LanguageModelReading())
    assert "names a file to be read, by vocab" in problem
    # Were it read, it would be in what the tokenizer knows.
    assert "a secret" in load_tokenizer(str(path)).get_vocab()


def test_a_gguf_file_is_loaded_by_its_path(smollm2, smollm2_path, tmp_path):
    assert {parameter.dtype for parameter in smollm2._model.model.parameters()} == {torch.float32}
    assert smollm2.generates
    # The tokenizer that lies beside it is no part of it, and nobody vets that.
    assert len(smollm2._prompts.tokenizer) == 49152
    fake = tmp_path / "x.gguf"
    fake.write_bytes(smollm2_path.read_bytes()[:100_000])
    assert "ends in the middle of its header" in refused(fake, LanguageModelReading())


def test_a_gguf_file_is_parsed_once(smollm2_loaded):
    assert smollm2_loaded[1] == 1
    assert isinstance(gguf.GGUFReader, type)


def test_others_can_work_while_a_model_loads(publish):
    config = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6, "num_attention_heads": 8}
    path = publish(causal("llama", **{**config, "num_key_value_heads": 8, "head_dim": 64}))
    done, gaps = Event(), []

    def tick():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.002)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticker = Thread(target=tick)
    ticker.start()
    load(path, LanguageModelReading())
    done.set()
    ticker.join()
    # A loader that held the interpreter throughout would leave one gap as long as the loading.
    assert max(gaps) < sum(gaps) / 2


def test_a_folder_that_is_not_there_is_the_callers_error(tmp_path):
    assert "cannot be loaded" in refused(tmp_path / "absent", ClassifierReading())
    shutil.rmtree(tmp_path)
