from __future__ import annotations

import numpy as np
import pytest
import torch

from w2s.errors import InvalidArgument
from w2s.models.classifier import ClassifierConfig
from w2s.models.spec import Encoding
from w2s_trainer.data import ClassificationExamples, concat

TARGETS = torch.tensor([[0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
TRUTH = torch.tensor([1, 1, 0])
IDS = ["a", "b", "c"]


def examples(tokenizer, texts, pairs=None, encoding=Encoding.SINGLE, max_length=8, truth=TRUTH):
    config = ClassifierConfig(encoding=encoding, max_length=max_length)
    return ClassificationExamples.of_texts(tokenizer, config, IDS, texts, pairs, TARGETS, truth)


def test_a_micro_batch_has_the_tokens_and_labels_of_its_rows(minilm):
    found = examples(minilm, ["cat", "a cat", "the cat sat"])
    micro = found.micro([2, 0])
    sequences = minilm(["the cat sat", "cat"], padding=True, return_tensors="pt")
    assert {name: tensor.tolist() for name, tensor in micro.inputs["text"].items()} == {
        name: tensor.tolist() for name, tensor in sequences.items()
    }
    assert micro.targets["targets"].tolist() == TARGETS[[2, 0]].tolist()
    assert micro.targets["truth"].tolist() == [0, 1]
    assert (found.sequences, found.lengths, found.truncated) == (1, [3, 4, 5], 0)


def test_a_pair_encoder_reads_two_sequences_and_a_cross_encoder_one(minilm):
    texts, pairs = ["cat", "a cat", "cat"], ["dog", "dog", "the dog sat there"]
    apart = examples(minilm, texts, pairs, Encoding.PAIR)
    assert set(apart.micro([0]).inputs) == {"text", "pair"}
    assert (apart.sequences, apart.lengths) == (2, [3, 4, 6])
    together = examples(minilm, texts, pairs)
    assert set(together.micro([0]).inputs) == {"text"}
    assert together.micro([0]).inputs["text"]["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]
    assert (together.sequences, together.lengths) == (1, [5, 6, 8])


@pytest.mark.parametrize(
    ("texts", "pairs", "encoding", "truncated"),
    [
        # With [CLS] and [SEP] 5, 6 and 7 tokens, of which 6 are read.
        (["a b c", "a b c d", "a b c d e"], None, Encoding.SINGLE, [False, False, True]),
        # With one more [SEP] 6, 7 and 5.
        (["a b", "a b", "a"], ["c", "c d", "b"], Encoding.SINGLE, [False, True, False]),
        # Apart, one of the second row and both of the third are too long.
        (["a", "a", "a b c d e"], ["a b c d", "a b c d e", "a b c d e"], Encoding.PAIR, [False, True, True]),
        (["", "a", "b"], None, Encoding.SINGLE, [False, False, False]),
    ],
)
def test_an_example_counts_as_truncated_once_a_token_is_lost(minilm, texts, pairs, encoding, truncated):
    found = examples(minilm, texts, pairs, encoding, max_length=6)
    assert found.cut.tolist() == truncated
    assert found.truncated == sum(truncated)
    assert max(found.lengths) <= 6


def test_a_pair_encoder_needs_second_texts(minilm):
    with pytest.raises(InvalidArgument, match=r"model\.encoding"):
        examples(minilm, ["a", "b", "c"], encoding=Encoding.PAIR)


def test_features_stand_in_for_texts():
    features = torch.arange(6.0).reshape(3, 2)
    cut = np.array([True, False, True])
    found = ClassificationExamples.of_features(IDS, features, TARGETS, None, cut)
    micro = found.micro([1])
    assert micro.inputs["features"].tolist() == [[2, 3]]
    assert set(micro.inputs) == {"features"}
    assert set(micro.targets) == {"targets"}
    assert (found.sequences, found.lengths, found.truncated) == (1, [1, 1, 1], 2)


def test_a_subset_is_its_rows(minilm):
    found = examples(minilm, ["cat", "a cat " * 9, "the cat sat"]).subset([2, 1])
    assert (found.ids, found.lengths, found.truncated) == (("c", "b"), [5, 8], 1)
    micro = found.micro([0])
    assert micro.inputs["text"]["input_ids"].tolist() == [minilm("the cat sat")["input_ids"]]
    assert micro.targets["truth"].tolist() == [0]


def test_a_mixture_has_all_rows_and_ground_truth_only_where_all_have(minilm):
    known, unknown = (examples(minilm, ["cat", "a cat", "the cat"], truth=truth) for truth in (TRUTH, None))
    assert concat([known, known]).micro([0, 3]).targets["truth"].tolist() == [1, 1]
    mixed = concat([known, unknown])
    assert mixed.ids == ("a", "b", "c", "a", "b", "c")
    assert set(mixed.micro([0]).targets) == {"targets"}
    assert mixed.micro([5]).inputs["text"]["input_ids"].tolist() == [minilm("the cat")["input_ids"]]


def test_texts_are_not_mixed_with_features(minilm):
    texts = examples(minilm, ["cat", "a cat", "the cat"])
    features = ClassificationExamples.of_features(IDS, torch.zeros(3, 2), TARGETS, TRUTH, np.zeros(3, bool))
    with pytest.raises(AssertionError):
        concat([texts, features])
