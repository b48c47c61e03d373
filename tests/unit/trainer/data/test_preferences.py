from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import BOS, EOS

from w2s_trainer.data import CompletionEncoder, PreferenceExamples, by_preference, concat

# The second, the first, and a tie.
TARGETS = torch.tensor([[0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])
FIRSTS, SECONDS = ["1", "2", "3"], ["44", "555", "6666"]


def examples(tokenizer, truth=None, max_length=16):
    return PreferenceExamples.of_pairs(
        CompletionEncoder(tokenizer, max_length), ["a", "b", "c"], ["p", "q", "r"], FIRSTS, SECONDS, TARGETS, truth
    )


def test_labels_say_which_is_chosen_and_a_tie_is_the_first_ones(bytes_):
    micro = examples(bytes_).micro([0, 2])
    assert micro.inputs["input_ids"].tolist() == [
        [BOS, *b"p44", EOS, 0, 0],
        [BOS, *b"r3", EOS, 0, 0, 0],
        [BOS, *b"p1", EOS, 0, 0, 0],
        [BOS, *b"r6666", EOS],
    ]
    assert micro.inputs["completion_mask"].sum(dim=1).tolist() == [3, 2, 2, 5]
    assert micro.targets["counts"].tolist() == [[3, 2], [2, 5]]
    assert set(micro.targets) == {"counts"}
    assert by_preference(FIRSTS, SECONDS, TARGETS) == (["44", "2", "3"], ["1", "555", "6666"])


def test_the_chosen_one_is_correct_where_ground_truth_prefers_it(bytes_):
    found = examples(bytes_, truth=torch.tensor([1, 1, 0]))
    assert found.micro([0, 1, 2]).targets["correct"].tolist() == [True, False, True]


def test_a_reference_is_added_once_it_is_known(bytes_):
    sums = torch.tensor([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0]])
    found = examples(bytes_).with_reference(sums)
    assert found.micro([2, 0]).targets["reference"].tolist() == [[-5, -6], [-1, -2]]
    assert found.subset([1]).micro([0]).targets["reference"].tolist() == [[-3, -4]]
    with pytest.raises(AssertionError):
        examples(bytes_).with_reference(sums[:2])


def test_a_pair_is_truncated_where_one_of_it_is(bytes_):
    found = examples(bytes_, max_length=6)
    assert (found.sequences, found.lengths, found.cut.tolist()) == (2, [5, 6, 6], [False, False, True])


def test_datasets_are_mixed(bytes_):
    truth = torch.tensor([1, 1, 0])
    mixed = concat([examples(bytes_, truth), examples(bytes_, truth).subset([1])])
    assert mixed.micro([3]).inputs["input_ids"].tolist()[0] == [BOS, *b"q2", EOS, 0, 0]
    assert mixed.micro([0, 3]).targets["correct"].tolist() == [True, False]
