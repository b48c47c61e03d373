from __future__ import annotations

import numpy as np
import pytest
import torch

from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.spec import Encoding

TEXTS = [f"text number {i} " + "with more words " * (i % 7) for i in range(12)]
PAIRS = [f"another text {i} " + "and then some " * (i % 5) for i in range(12)]


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


def count_batches(monkeypatch) -> list[int]:
    """Counts the rows of each batch that goes through a body."""
    rows, compute = [], Predictor._compute
    monkeypatch.setattr(Predictor, "_compute", lambda self, batch: (rows.append(len(batch)), compute(self, batch))[1])
    return rows


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("budget", [1, 64, 4096])
def test_results_do_not_depend_on_what_is_batched_together(build_model, encoding, budget):
    checkpoint = build_model(layers=2, encoding=encoding)
    alone = [Predictor(checkpoint).logits([text], [pair]) for text, pair in zip(TEXTS, PAIRS, strict=True)]
    together = Predictor(checkpoint, token_budget=budget).logits(TEXTS, PAIRS)
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


def test_predicting_uses_no_dropout_and_leaves_the_mode_as_it_was(build_model):
    model = (checkpoint := build_model(layers=2)).model.train()
    first, second = (Predictor(checkpoint).logits(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert model.training


def test_equal_texts_are_encoded_once_in_either_column(build_model, monkeypatch):
    rows = count_batches(monkeypatch)
    found = Predictor(build_model(layers=0, encoding=Encoding.PAIR)).features(["a", "b", "a"], ["b", "c", "b"])
    assert sum(rows) == 3
    assert torch.equal(found[0], found[2])


def test_sequences_with_the_same_ids_in_other_segments_are_not_equal(build_model):
    # Each joins to `one [SEP] two [SEP] three`, cut into segments at another place.
    texts, pairs = ["one [SEP] two", "one"], ["three", "two [SEP] three"]
    checkpoint = build_model(layers=1)
    alone = np.concatenate([Predictor(checkpoint).logits([t], [p]) for t, p in zip(texts, pairs, strict=True)])
    assert abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(Predictor(checkpoint).logits(texts, pairs), alone, atol=1e-5)


def test_progress_counts_up_to_all_sequences_and_may_stop_the_work(build_model):
    predictor = Predictor(build_model(layers=0), token_budget=64)
    seen = []
    predictor.logits(TEXTS, tick=lambda done, total: seen.append((done, total)))
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (12, 12)

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        predictor.logits(TEXTS, tick=stop)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_cache_hit_is_bit_for_bit_the_miss(build_model, cache, monkeypatch, encoding):
    checkpoint = build_model(layers=2, train_from_layer=2, encoding=encoding)
    plain = Predictor(checkpoint).features(TEXTS, PAIRS)
    rows = count_batches(monkeypatch)
    miss = Predictor(checkpoint, cache).features(TEXTS, PAIRS)
    computed = len(rows)
    hit = Predictor(checkpoint, cache).features(TEXTS, PAIRS)
    assert computed == len(rows) > 0
    assert torch.equal(miss, plain)
    assert torch.equal(hit, plain)


def test_models_that_share_a_frozen_body_share_the_work(build_model, cache, monkeypatch):
    Predictor(build_model(layers=2, train_from_layer=2), cache).features(TEXTS)
    rows = count_batches(monkeypatch)
    # Another head, and the texts in another order.
    Predictor(build_model(layers=2, train_from_layer=2, label_names="abc"), cache).features(TEXTS[::-1])
    assert rows == []


@pytest.mark.parametrize("other", [{"layers": 1, "train_from_layer": 1}, {"pooling": "POOLING_FIRST_TOKEN"}])
def test_another_body_or_pooling_shares_nothing(build_model, cache, other):
    Predictor(build_model(layers=2, train_from_layer=2), cache).features(TEXTS)
    checkpoint = build_model(**{"layers": 2, "train_from_layer": 2, **other})
    assert torch.equal(Predictor(checkpoint, cache).features(TEXTS), Predictor(checkpoint).features(TEXTS))


@pytest.mark.parametrize("train_from", [0, 1])
def test_a_body_that_trains_is_never_cached(build_model, cache, tmp_path, train_from):
    checkpoint = build_model(layers=2, train_from_layer=train_from)
    predictor = Predictor(checkpoint, cache)
    before = predictor.features(TEXTS)
    with torch.no_grad():
        for parameter in checkpoint.model.body.encoder.layer[1].parameters():
            parameter.mul_(1.1)
    assert not torch.equal(predictor.features(TEXTS), before)
    assert list((tmp_path / "cache").iterdir()) == []


def test_precision_is_what_was_asked_for(build_model, cache):
    checkpoint = build_model(layers=2, train_from_layer=2)
    exact = Predictor(checkpoint).features(TEXTS)
    found = Predictor(checkpoint, cache, bfloat16=True).features(TEXTS)
    # bfloat16 has 8 significant bits.
    assert 1e-4 < (found - exact).abs().max() < 0.05
    # What was computed in one precision is none of another's.
    assert torch.equal(Predictor(checkpoint, cache, bfloat16=False).features(TEXTS), exact)
    assert torch.equal(Predictor(checkpoint, cache, bfloat16=True).features(TEXTS), found)
