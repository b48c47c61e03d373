from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from helpers.tiny_models import byte_tokenizer

from w2s.models.spec import BaseRef, Lora, ModelSpec
from w2s.models.trainable import build_language_model
from w2s_trainer.data import CompletionEncoder, PreferenceExamples
from w2s_trainer.stages import reference
from w2s_trainer.stages.reference import Reference

CPU = torch.device("cpu")
PROMPTS = ["red", "a longer prompt", "blue"]
FIRSTS, SECONDS = [" yes", " no", " perhaps"], [" no", " not at all", " yes"]


@pytest.fixture
def scorer(weights):
    """Makes the completion scorer of the tiny decoder."""

    def make(seed=0, **settings):
        torch.manual_seed(seed)
        spec = ModelSpec(base=BaseRef(uri="decoder"), max_length=64, **settings)
        return build_language_model(spec, weights("decoder")).module

    return make


@pytest.fixture
def examples():
    """Encodes pairs, the second ones chosen but for the first pair."""

    def make(prompts=PROMPTS, firsts=FIRSTS, seconds=SECONDS):
        encoder = CompletionEncoder(byte_tokenizer(), 64)
        targets = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        return PreferenceExamples.of_pairs(encoder, ["a", "b", "c"], prompts, firsts, seconds, targets, None)

    return make


@pytest.fixture
def computed(monkeypatch):
    """How many examples each pass over a model has had."""
    passes, compute = [], Reference._compute
    monkeypatch.setattr(Reference, "_compute", lambda self, e: (passes.append(len(e.ids)), compute(self, e))[1])
    return passes


@pytest.fixture
def refer(tmp_path):
    def make(model, digest="digest", budget=64, bfloat16=False):
        return Reference(model, digest, tmp_path / "reference", CPU, budget, bfloat16=bfloat16)

    return make


def by_hand(model, prompt, completion):
    """Sum over a completion's tokens of the model's own log-probabilities."""
    before, after = list(prompt.encode()), [*completion.encode(), 257]
    ids = torch.tensor([before + after])
    with torch.inference_mode():
        said = model(input_ids=ids).logits[0].double().log_softmax(-1)
    return sum(float(said[len(before) + at - 1, token]) for at, token in enumerate(after))


@pytest.mark.parametrize("budget", [1, 64, 4096])
def test_it_says_what_the_model_says_of_chosen_and_rejected(scorer, examples, refer, budget):
    model = scorer()
    found = refer(model, budget=budget)(examples())
    ordered = [(FIRSTS[0], SECONDS[0]), (SECONDS[1], FIRSTS[1]), (SECONDS[2], FIRSTS[2])]
    expected = [[by_hand(model.model, p, text) for text in pair] for p, pair in zip(PROMPTS, ordered, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_dropout_is_off_and_the_mode_is_left(scorer, examples, refer):
    model = scorer(dropout=True).train()
    assert torch.equal(refer(model)(examples()), refer(model, "another")(examples()))
    assert model.training


def test_what_it_said_is_kept_for_other_processes(scorer, examples, refer, computed):
    first = refer(scorer())(examples())
    assert torch.equal(refer(scorer())(examples()), first)
    assert computed == [3]


@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": ["red", "a longer prompt", "teal"]},
        {"firsts": [" yes", " no", " never"]},
        # The same pairs, of which the labels prefer the others.
        {"firsts": SECONDS, "seconds": FIRSTS},
        # As many bytes, cut elsewhere.
        {"prompts": ["re", "da longer prompt", "blue"]},
    ],
    ids=["prompt", "completion", "order", "boundaries"],
)
def test_other_tokens_are_read_anew(scorer, examples, refer, computed, changes):
    refer(scorer())(examples())
    refer(scorer())(examples(**changes))
    assert computed == [3, 3]


@pytest.mark.parametrize("changes", [{"digest": "other"}, {"bfloat16": True}, {"budget": 32}], ids=str)
def test_another_reference_reads_anew(scorer, examples, refer, computed, changes):
    refer(scorer())(examples())
    refer(scorer(), **changes)(examples())
    assert computed == [3, 3]


def test_adapters_have_no_say(scorer, examples, refer):
    plain = refer(scorer())(examples())
    adapted = scorer(lora=Lora(rank=2))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    torch.testing.assert_close(refer(adapted, "adapted")(examples()), plain)


def test_a_damaged_entry_is_computed_again(scorer, examples, refer, computed, tmp_path):
    first = refer(scorer())(examples())
    (entry,) = (tmp_path / "reference").iterdir()
    entry.write_bytes(entry.read_bytes()[:-4])
    assert torch.equal(refer(scorer())(examples()), first)
    assert torch.equal(refer(scorer())(examples()), first)
    assert computed == [3, 3]


def test_what_was_used_longest_ago_goes(scorer, examples, refer, computed, tmp_path, monkeypatch):
    # 3 x 2 numbers of 4 bytes after numpy's 128: two such entries fit.
    monkeypatch.setattr(reference, "_MAX_BYTES", 2 * (128 + 24))
    for at, digest in enumerate(["used", "idle"]):
        refer(scorer(), digest)(examples())
        for entry in (tmp_path / "reference").iterdir():
            os.utime(entry, (1000 + at, 1000 + at))
    refer(scorer(), "used")(examples())
    refer(scorer(), "new")(examples())
    assert computed == [3, 3, 3]
    refer(scorer(), "used")(examples())
    assert computed == [3, 3, 3]
    refer(scorer(), "idle")(examples())
    assert computed == [3, 3, 3, 3]
