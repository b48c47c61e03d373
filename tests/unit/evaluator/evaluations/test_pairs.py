"""Margins, against transformers alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from w2s.artifacts.tables import read_pairs
from w2s.errors import InvalidArgument
from w2s.models.checkpoint import load
from w2s.models.loading import load_engine
from w2s.models.spec import LanguageModelReading
from w2s_evaluator.evaluations import pairs as judges
from w2s_evaluator.evaluations.spec import MarginReading

ROWS = [
    {"prompt": "ask", "first": " yes", "second": " no, not at all"},
    {"prompt": "", "first": "a", "second": "b"},
    {"prompt": "ask", "first": " no, not at all", "second": " yes"},
    {"prompt": "same", "first": " x", "second": " x"},
]


def log_likelihoods(model, prompt, answer):
    """The log-probability of each byte of an answer; <bos> stands before an empty prompt."""
    before = list(prompt.encode()) or [256]
    ids = [*before, *answer.encode()]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return [logits[at - 1, ids[at]].item() for at in range(len(before), len(ids))]


def margins(store, dataset, ref, reading, **options):
    engine = load_engine(store.read(ref.uri).path, reading, torch.device("cpu"))
    margin = judges.engine(engine, read_pairs(store, dataset), MarginReading(**options), 4096)
    return lambda rows: margin(rows, lambda done, total: None)


@pytest.mark.parametrize("normalized", [False, True])
def test_a_language_models_margin_is_the_difference_of_log_probabilities(store, pairs, language_model, normalized):
    found = margins(store, pairs(*ROWS), language_model, LanguageModelReading(), length_normalized=normalized)
    total = np.mean if normalized else np.sum
    model = AutoModelForCausalLM.from_pretrained(store.read(language_model.uri).path, dtype=torch.float64).eval()
    expected = [
        total(log_likelihoods(model, row["prompt"], row["first"]))
        - total(log_likelihoods(model, row["prompt"], row["second"]))
        for row in ROWS
    ]
    np.testing.assert_allclose(found(range(4)), expected, atol=1e-4)
    np.testing.assert_allclose(found(range(1, 3)), expected[1:3], atol=1e-4)
    assert found(range(4))[3] == 0


def test_a_reward_models_margin_is_the_difference_of_rewards(store, pairs, reward):
    checkpoint = load(store.read(reward.uri).path)

    def of(text):
        ids = list(text.encode())
        pooled = checkpoint.pool([{"input_ids": ids, "attention_mask": [1] * len(ids)}], bfloat16=False)
        return checkpoint.logits(pooled)[0, 0]

    expected = [of(row["prompt"] + row["first"]) - of(row["prompt"] + row["second"]) for row in ROWS]
    np.testing.assert_allclose(margins(store, pairs(*ROWS), reward, None)(range(4)), expected, atol=1e-4)
    assert abs(expected[0]) > 0.1


def test_a_pair_that_cannot_be_read_is_named(store, pairs, language_model):
    found = margins(store, pairs({}, {"first": "x" * 200}), language_model, LanguageModelReading())
    with pytest.raises(InvalidArgument, match=r"p1 cannot be judged: .* 203 tokens"):
        found(range(2))


def test_the_scale_divides_the_margin_and_a_tie_is_the_firsts():
    judge = judges.judged(lambda rows, tick: np.array([100.0, 0.0, -50.0]), scale=50)
    logits = judge(range(3), lambda done, total: None)
    np.testing.assert_array_equal(logits, [[2, 0], [0, 0], [-1, 0]])
    assert logits.argmax(axis=1).tolist() == [0, 0, 1]


def test_labels_margins_are_log_odds():
    probabilities = np.log([[0.8, 0.2], [0.5, 0.5]])
    found = judges.labels(lambda rows, tick: probabilities)(range(2), lambda done, total: None)
    np.testing.assert_allclose(found, [np.log(4), 0])
