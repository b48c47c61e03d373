from __future__ import annotations

import torch
from helpers.tiny_models import BOS, EOS

from w2s_trainer.data import AnswerEncoder, RewardExamples, concat


def examples(tokenizer, max_length=16, truth=None):
    return RewardExamples.of_pairs(
        AnswerEncoder(tokenizer, max_length),
        ["a", "b"],
        ["p", "q"],
        ["1", "22"],
        ["333", "4"],
        torch.tensor([0.25, 0.75]),
        truth,
    )


def test_first_completions_come_before_second_ones(bytes_):
    micro = examples(bytes_, truth=torch.tensor([1, 0])).micro([1, 0])
    assert micro.inputs["text"]["input_ids"].tolist() == [
        [BOS, *b"q22", EOS, 0],
        [BOS, *b"p1", EOS, 0, 0],
        [BOS, *b"q4", EOS, 0, 0],
        [BOS, *b"p333", EOS],
    ]
    assert micro.inputs["text"]["attention_mask"].sum(dim=1).tolist() == [5, 4, 4, 6]
    assert micro.targets["preferences"].tolist() == [0.75, 0.25]
    assert micro.targets["truth"].tolist() == [0, 1]


def test_an_example_is_as_long_as_its_longer_sequence_and_truncated_where_one_is(bytes_):
    found = examples(bytes_, max_length=5)
    assert (found.sequences, found.lengths, found.cut.tolist()) == (2, [5, 5], [True, False])
    assert "truth" not in found.micro([0]).targets


def test_datasets_are_mixed(bytes_):
    mixed = concat([examples(bytes_).subset([1]), examples(bytes_)])
    assert mixed.ids == ("b", "a", "b")
    assert mixed.micro([0, 1, 2]).targets["preferences"].tolist() == [0.75, 0.25, 0.75]


def test_features_stand_in_for_the_tokens_that_a_frozen_body_has_read(bytes_):
    features = torch.arange(12.0).view(2, 2, 3)
    read = examples(bytes_, max_length=5).with_features(features)
    micro = read.micro([1, 0])
    assert micro.inputs["features"].tolist() == [[6, 7, 8], [0, 1, 2], [9, 10, 11], [3, 4, 5]]
    assert set(micro.inputs) == {"features"}
    # What was cut is still told, and mixtures keep their order.
    assert read.cut.tolist() == [True, False]
    assert concat([read.subset([1]), read]).micro([0, 1]).inputs["features"][0].tolist() == [6, 7, 8]
