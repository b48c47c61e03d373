from __future__ import annotations

from helpers.tiny_models import BOS, EOS

from w2s_trainer.data import CompletionEncoder, CompletionExamples, TextExamples, concat


def test_a_micro_batch_is_what_a_scorer_takes(bytes_):
    found = CompletionExamples.of_completions(CompletionEncoder(bytes_, 16), ["a", "b"], ["p", "qq"], ["\0", "yz"])
    micro = found.micro([0, 1])
    # A byte of 0 is a token as any other.
    assert micro.inputs["input_ids"].tolist() == [[BOS, *b"p\0", EOS, 0, 0], [BOS, *b"qqyz", EOS]]
    assert micro.inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert micro.inputs["completion_mask"].tolist() == [[0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert set(micro.inputs) == {"input_ids", "attention_mask", "completion_mask"}
    assert micro.targets["counts"].tolist() == [2, 3]
    assert (found.sequences, found.lengths, found.truncated) == (1, [4, 6], 0)


def test_of_text_all_but_the_first_token_is_learnt(bytes_):
    found = TextExamples.of_completions(CompletionEncoder(bytes_, 16), ["a"], ["pq"], ["xyz"])
    micro = found.micro([0])
    assert micro.inputs["completion_mask"].tolist() == [[0, 1, 1, 1, 1, 1, 1]]
    assert micro.targets["counts"].tolist() == [6]


def test_both_completions_of_a_pair_are_text(bytes_):
    encoder = CompletionEncoder(bytes_, 5)
    found = TextExamples.of_pairs(encoder, ["a", "b", "c"], ["p", "q", "r"], ["x", "y", "zzz"], ["1", "222", "333"])
    assert found.ids == ("a", "b", "c", "a", "b", "c")
    assert found.micro([1]).inputs["input_ids"].tolist() == [[BOS, *b"qy", EOS]]
    assert found.micro([4]).inputs["input_ids"].tolist() == [[BOS, *b"222", EOS]]
    # Two examples: b lost a token of one of its texts, and c of both.
    assert found.truncated == 2


def test_plain_texts_are_text_joined_by_a_blank_line(bytes_):
    encoder = CompletionEncoder(bytes_, 16)
    joined = TextExamples.of_texts(encoder, ["a"], ["x"], ["y"])
    assert joined.micro([0]).inputs["input_ids"].tolist() == [[BOS, *b"x\n\ny", EOS]]
    single = TextExamples.of_texts(encoder, ["a", "b"], ["x", ""], None)
    assert single.micro([0, 1]).inputs["input_ids"].tolist() == [[BOS, *b"x", EOS], [BOS, EOS, 0]]
    assert single.micro([0, 1]).targets["counts"].tolist() == [2, 1]


def test_rows_are_chosen_and_mixed(bytes_):
    found = CompletionExamples.of_completions(CompletionEncoder(bytes_, 16), ["a", "b"], ["p", "q"], ["x", "yz"])
    mixed = concat([found.subset([1]), found])
    assert (mixed.ids, mixed.micro([0, 1, 2]).targets["counts"].tolist()) == (("b", "a", "b"), [3, 2, 3])
