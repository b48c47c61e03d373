from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import byte_tokenizer, causal, headed
from safetensors.torch import load_file

from w2s.artifacts import Parent
from w2s.errors import InvalidArgument
from w2s.models.adapters import has_adapters
from w2s.models.features import FeatureCache
from w2s.models.inputs import Completion, Row
from w2s.models.loading import load_engine
from w2s.models.sources import Weights
from w2s.models.spec import BaseRef, LanguageModelReading, ModelSpec
from w2s.models.trainable import build_classifier, build_language_model, build_reward_model

CPU = torch.device("cpu")
# 0 is a byte of the texts, too, so nothing can take it for padding.
TEXTS = ["\0ab", "abc\0de and more", "x"]


@pytest.fixture
def base(tmp_path):
    """Saves a model that reads bytes, and gives where it is."""

    def make(kind="decoder", schema=None, **changes):
        folder = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        model = headed("bert") if kind == "encoder" else causal(changes.pop("architecture", "llama"), **changes)
        model.save_pretrained(folder)
        byte_tokenizer(chat=True).save_pretrained(folder)
        return Weights(str(folder), Parent(role="base", uri="x"), schema=schema)

    return make


def spec(**changes):
    return ModelSpec(base=BaseRef(uri="x"), max_length=64, **changes)


def batch(texts, start=1):
    rows = [byte_tokenizer()(text)["input_ids"] for text in texts]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[t < len(row) for t in range(width)] for row in rows]).long()
    counted = mask.clone()
    counted[:, :start] = 0
    return {"input_ids": ids, "attention_mask": mask, "completion_mask": counted}


def nudge(trainable):
    """Trains a step on chance, so that nothing is as it was made."""
    torch.manual_seed(0)
    for parameter in trainable.module.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "cohere", "granite", "opt", "qwen3"])
def test_a_scorer_gives_the_sums_of_the_model_s_own_log_probabilities(base, architecture):
    scorer = build_language_model(spec(), base(architecture=architecture)).module.eval()
    inputs = batch(TEXTS, start=1)
    logits = scorer.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits.float()
    log_probs = torch.log_softmax(logits, -1)
    expected = [
        sum(float(log_probs[row, t - 1, inputs["input_ids"][row, t]]) for t in range(1, len(text)))
        for row, text in enumerate(TEXTS)
    ]
    assert scorer(**inputs).tolist() == pytest.approx(expected, abs=1e-4)


def test_what_is_not_counted_does_not_matter_and_gradients_flow(base):
    scorer = build_language_model(spec(), base()).module
    inputs = batch(TEXTS, start=2)
    alone = scorer(**batch(TEXTS[:1], start=2))
    together = scorer(**inputs)
    assert float(alone[0].detach()) == pytest.approx(float(together[0].detach()), abs=1e-5)
    together.sum().backward()
    assert all(parameter.grad is not None for parameter in scorer.parameters())


def test_dropout_is_off_unless_asked_for(base):
    def twice(dropout):
        weights = base(architecture="gpt2", attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5)
        module = build_language_model(spec(dropout=dropout), weights).module.train()
        return [float(module(**batch(TEXTS)).sum().detach()) for _ in range(2)]

    first, second = twice(dropout=False)
    assert first == second
    first, second = twice(dropout=True)
    assert first != second


def test_recomputed_activations_give_the_same_gradients(base):
    weights = base()
    plain, checkpointed = (build_language_model(spec(), weights).module.train() for _ in range(2))
    checkpointed.enable_checkpointing()
    for module in (plain, checkpointed):
        module(**batch(TEXTS)).sum().backward()
    pairs = zip(plain.parameters(), checkpointed.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-5) for a, b in pairs)


def test_a_language_model_is_saved_as_one(base, tmp_path):
    trainable = build_language_model(spec(), base())
    nudge(trainable)
    inputs = batch(["abcdef"], start=3)
    expected = float(trainable.module.eval()(**inputs).detach())
    trainable.save(tmp_path / "saved")
    engine = load_engine(tmp_path / "saved", LanguageModelReading(), CPU)
    (item,) = engine.encode_completions([Completion("abc", "def")])
    assert float(engine.run([item])[0].sum()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_adapters_are_merged_into_what_is_saved(base, tmp_path, kind):
    from w2s.models.spec import Lora

    weights = base(kind)
    trainable = build_classifier(spec(lora=Lora(rank=2)), weights, ["no", "yes"])
    body = dict(load_file(f"{weights.location}/model.safetensors"))
    trained = {name for name, parameter in trainable.module.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name or name.startswith("head.") for name in trained)
    nudge(trainable)
    inputs = {name: value for name, value in batch(TEXTS).items() if name != "completion_mask"}
    expected = trainable.module.eval()(text=inputs).detach()
    trainable.save(tmp_path / "saved")
    # It goes on as it was.
    assert has_adapters(trainable.module)
    assert torch.equal(trainable.module(text=inputs), expected)
    engine = load_engine(tmp_path / "saved", None, CPU)
    rows = engine.encode_rows([Row(text) for text in TEXTS])
    found = engine.logits([[engine.run([item])[0] for item in row] for row in rows])
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)
    assert len(body) > 0


def test_adapters_of_a_language_model_start_from_no_change(base):
    from w2s.models.spec import Lora

    weights = base()
    plain = build_language_model(spec(), weights).module.eval()
    adapted = build_language_model(spec(lora=Lora(target_modules=("q_proj",))), weights).module.eval()
    assert torch.equal(adapted(**batch(TEXTS)), plain(**batch(TEXTS)))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("q_proj.lora_" in name for name in trained)


def test_adapters_for_modules_that_are_not_there_are_refused(base):
    from w2s.models.spec import Lora

    with pytest.raises(InvalidArgument, match=r"target_modules.*q_proj"):
        build_language_model(spec(lora=Lora(target_modules=("nothing",))), base())


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_a_reward_model_starts_at_nothing_and_is_read_by_its_masks(base, tmp_path, kind):
    trainable = build_reward_model(spec(chat_template=True), base(kind))
    inputs = {name: value for name, value in batch(TEXTS).items() if name != "completion_mask"}
    assert trainable.module(text=inputs).tolist() == [[0.0]] * len(TEXTS)
    nudge(trainable)
    expected = trainable.module.eval()(text=inputs).detach()
    alone = {name: value[:1, : len(TEXTS[0])] for name, value in inputs.items()}
    assert float(trainable.module(text=alone)) == pytest.approx(float(expected[0]), abs=1e-5)
    trainable.save(tmp_path / "saved")
    engine = load_engine(tmp_path / "saved", None, CPU)
    assert engine.rewards
    (item,) = engine.encode_completions([Completion("ask", "answer")])
    text = "<|user|>ask<end><|assistant|>answer<end>"
    ids = byte_tokenizer(chat=True)(text, add_special_tokens=False, return_tensors="pt")
    found = trainable.module(text={name: ids[name] for name in ("input_ids", "attention_mask")})
    assert float(engine.run([item])[0][0]) == pytest.approx(float(found), abs=1e-4)


def test_layers_are_cut_and_frozen_of_language_models_too(base):
    module = build_language_model(spec(layers=1, train_from_layer=0), base()).module
    assert len(module.model.base_model.layers) == 1
    module = build_language_model(spec(train_from_layer=1), base()).module
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    assert any("layers.0." in name for name in frozen)
    assert not any("layers.1." in name for name in frozen)


def test_a_linear_probe_trains_the_head_alone(base):
    trainable = build_classifier(spec(linear_probe=True), base("encoder"), ["no", "yes"])
    trained = [name for name, parameter in trainable.module.named_parameters() if parameter.requires_grad]
    assert trained == ["head.weight", "head.bias"]
    assert trainable.module.config.body_frozen


def test_what_has_no_language_model_s_head_is_refused(base):
    with pytest.raises(InvalidArgument, match="no causal language model"):
        build_language_model(spec(), base("encoder"))
    with pytest.raises(InvalidArgument, match="no language model's head"):
        build_language_model(spec(), base("encoder", schema="w2s.classifier/1"))


def test_a_saved_language_model_can_be_a_classifier_s_base(base, tmp_path):
    build_language_model(spec(), base()).save(tmp_path / "lm")
    weights = Weights(str(tmp_path / "lm"), Parent(role="base", uri="x"), schema="w2s.language-model/1")
    assert build_classifier(spec(), weights, ["a", "b", "c"]).module.head.weight.shape == (3, 32)


def test_a_whole_state_is_saved_in_place_of_what_a_process_has(base, tmp_path):
    weights = base()
    trainable, other = build_language_model(spec(), weights), build_language_model(spec(), weights)
    nudge(other)
    trainable.save(tmp_path / "saved", {name: value.clone() for name, value in other.module.state_dict().items()})
    other.save(tmp_path / "expected")
    found, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("saved", "expected"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_reward_models_of_one_frozen_body_share_its_work(base, tmp_path):
    rewards, folder = [], tmp_path / "features"
    for scale in (1.0, 2.0):
        trainable = build_reward_model(spec(linear_probe=True), base("encoder"))
        torch.nn.init.constant_(trainable.module.head.weight, scale)
        trainable.save(tmp_path / f"saved-{scale}")
        engine = load_engine(tmp_path / f"saved-{scale}", None, CPU, cache=FeatureCache(folder))
        rewards.append(engine.run(engine.encode_completions([Completion("ask", text) for text in TEXTS])))
        assert len(list(folder.iterdir())) == 1
    assert np.allclose(2 * np.stack(rewards[0]), np.stack(rewards[1]), rtol=1e-5)
