from __future__ import annotations

from pathlib import Path

import pytest

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, LANGUAGE_MODEL_SCHEMA, REWARD_SCHEMA

BASE = "run.spec.model.base.uri"


@pytest.mark.parametrize("objective", ["dpo", "simpo", "orpo", "sft"])
@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertModel"]},
        {"architectures": ["BertForMaskedLM"]},
        {"architectures": ["LlamaModel"]},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
    ],
)
def test_language_models_begin_with_causal_ones(inputs, refuses, spec, objective, config):
    base = {"uri": inputs.model("other", **config)}
    refuses(spec(objective, base, dataset=inputs.pairs("pairs")), BASE, f"is {config['architectures'][0]}")


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["LlamaForCausalLM"]},
        {"architectures": ["GPT2LMHeadModel"], "n_layer": 2},
        {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {"num_hidden_layers": 2}},
        {"architectures": ["BertModel"], "is_decoder": True},
        {"architectures": None},
    ],
)
def test_what_may_be_a_causal_model_is_admitted(inputs, admission, spec, config):
    admission().check_spec(spec("dpo", {"uri": inputs.model("lm", **config)}, dataset=inputs.pairs("pairs")))


def test_generative_tuning_needs_a_causal_model(inputs, refuses, spec):
    refuses(spec(generative_first={}), BASE, "must be a causal language model, and is BertModel")


def test_a_language_model_that_is_frozen_whole_is_refused(inputs, admission, refuses, spec):
    pairs = inputs.pairs("pairs")
    tied, free = (
        {"uri": inputs.model(f"lm-{tied}", architectures=["LlamaForCausalLM"], tie_word_embeddings=tied)}
        for tied in (True, False)
    )
    for frozen in ({"train_from_layer": 2}, {"layers": 1, "train_from_layer": 1}, {"layers": 0}):
        field = "run.spec.model.train_from_layer"
        refuses(spec("dpo", {**tied, **frozen}, dataset=pairs), field, "leaves nothing of this language model to train")
        admission().check_spec(spec("dpo", {**free, **frozen}, dataset=pairs))
    admission().check_spec(spec("dpo", {**tied, "train_from_layer": 1}, dataset=pairs))


def test_artifacts_give_the_body_that_they_have(inputs, admission, refuses, spec):
    pairs = inputs.pairs("pairs")
    lm = inputs.artifact_model("lm", LANGUAGE_MODEL_SCHEMA, architectures=["LlamaForCausalLM"])
    for key, schema in [("classes", CLASSIFIER_SCHEMA), ("reward", REWARD_SCHEMA)]:
        ref = inputs.artifact_model(key, schema, body={"num_hidden_layers": 1})
        admission().check_spec(spec(model={"uri": ref.uri}))
        refuses(spec("dpo", {"uri": ref.uri}, dataset=pairs), BASE, f"holds {schema}, and a language model needs")
        refuses(spec(model={"uri": ref.uri, "layers": 2}), "run.spec.model.layers", "at most 1")
    admission().check_spec(spec("dpo", {"uri": lm.uri}, dataset=pairs))
    admission().check_spec(spec(model={"uri": lm.uri}))
    refuses(spec(model={"uri": spec().dataset.uri}), BASE, "holds w2s.examples/1")


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"layers": 3}, "layers", "at most 2, the body's layers; got 3"),
        ({"train_from_layer": 3}, "train_from_layer", "at most 2, the body's layers; got 3"),
        ({"max_length": 129}, "max_length", "at most 128, the body's positions; got 129"),
        ({"lora": {"target_modules": ["query", "q_proj"]}}, "lora.target_modules", "has no module q_proj"),
    ],
)
def test_settings_are_within_the_model(refuses, spec, change, field, words):
    refuses(spec(model=change), f"run.spec.model.{field}", words)


def test_settings_at_the_limit_are_admitted(admission, spec):
    for change in ({"layers": 2, "train_from_layer": 2, "max_length": 128}, {"lora": {"target_modules": ["query"]}}):
        admission().check_spec(spec(model=change))


def test_hops_are_checked_like_the_run(inputs, refuses, spec):
    hop = spec(model={"layers": 3}).model
    refuses(spec(hops=[{"model": spec().model}, {"model": hop}]), "run.spec.hops[1].model.layers", "at most 2")


def test_other_names_of_the_same_settings_are_known(inputs, refuses, spec):
    names = {"num_hidden_layers": None, "max_position_embeddings": None, "n_layer": 1, "n_positions": 4}
    uri = inputs.model("gpt2", **names)
    refuses(spec(model={"uri": uri, "layers": 2, "max_length": 4}), "run.spec.model.layers", "at most 1")
    refuses(spec(model={"uri": uri, "max_length": 5}), "run.spec.model.max_length", "at most 4")


def test_a_chat_template_must_be_there(inputs, admission, refuses, spec):
    pairs = inputs.pairs("pairs")
    for folder, tokenizer in (("with", {"chat_template": "{{ messages }}"}), ("without", {})):
        uri = inputs.model(folder, tokenizer=tokenizer)
        asked = spec("reward_modeling", {"uri": uri, "chat_template": True}, dataset=pairs)
        if tokenizer:
            admission().check_spec(asked)
        else:
            refuses(asked, "run.spec.model.chat_template", "no chat template")


def test_pair_encoders_need_two_texts(inputs, admission, refuses, spec):
    pair = {"encoding": "TEXT_ENCODING_PAIR"}
    admission().check_spec(spec(model=pair))
    single = inputs.examples("single", second=None)
    refuses(spec(model=pair, dataset=single), "run.spec.model.encoding", "4 of run.spec.dataset have one")
    refuses(spec(model=pair, mixed_datasets=[single]), "run.spec.model.encoding", "4 of run.spec.mixed_datasets[0]")
    hop = {"model": spec(model=pair).model, "dataset": single}
    refuses(spec(hops=[hop]), "run.spec.hops[0].model.encoding", "4 of run.spec.hops[0].dataset")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///etc", "must be below"),
        ("MODELS/missing", "cannot be loaded"),
        ("MODELS/../artifacts", "plain names"),
        ("pkg://os/path", "must be"),
        ("hf://org/name", "switched off"),
    ],
)
def test_models_that_cannot_be_had_are_refused(inputs, refuses, spec, uri, words):
    base = {"uri": uri.replace("MODELS", f"file://{inputs.models}")}
    model = {"base": {**base, **({"revision": "main"} if uri.startswith("hf://") else {})}}
    refuses(spec(model=model), BASE, words)


def test_weights_that_are_none_are_refused(inputs, refuses, spec):
    for name, damage in {
        "pickle": lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "cut": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64),
        "empty": lambda folder: (folder / "model.safetensors").unlink(),
        "no-config": lambda folder: (folder / "config.json").unlink(),
        "list": lambda folder: (folder / "config.json").write_text("[]"),
        "deep": lambda folder: (folder / "config.json").write_text("[" * 10**6),
        "number": lambda folder: (folder / "config.json").write_text('{"architectures": 5}'),
    }.items():
        uri = inputs.model(name)
        damage(inputs.models / name)
        refuses(spec(model={"uri": uri}), BASE, "cannot be loaded")
        if name not in ("pickle", "empty"):
            # Admission does not hash an artifact's files.
            uri = inputs.artifact_model(name, CLASSIFIER_SCHEMA).uri
            damage(Path(uri.removeprefix("file://")))
            refuses(spec(model={"uri": uri}), BASE, "cannot be loaded")
