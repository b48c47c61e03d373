from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from w2s.errors import InvalidArgument
from w2s.models.batches import token_batches
from w2s.models.classifier import ClassifierConfig
from w2s.models.spec import Encoding
from w2s.models.tokens import each, pad, tokenize


@given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 100))
def test_batches_cover_every_row_once_and_keep_the_budget(lengths, budget):
    batches = list(token_batches(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * max(lengths[index] for index in batch) <= budget or len(batch) == 1


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.integers(1, 100))
def test_batches_go_from_long_to_short_and_leave_no_room_for_the_next_row(lengths, budget):
    batches = list(token_batches(lengths, budget))
    order = [lengths[index] for batch in batches for index in batch]
    assert order == sorted(lengths, reverse=True)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * lengths[batch[0]] > budget


@pytest.fixture
def tokenizer(build_model):
    return build_model(layers=0).tokenizer


def test_two_texts_are_joined_for_a_single_encoder_and_kept_apart_for_a_pair_encoder(tokenizer):
    words = {"a": tokenizer.convert_tokens_to_ids("cat"), "b": tokenizer.convert_tokens_to_ids("dog")}
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    joined, nothing = tokenize(tokenizer, ClassifierConfig(encoding=Encoding.SINGLE), ["cat"], ["dog"])
    assert nothing is None
    assert joined[0]["input_ids"] == [start, words["a"], end, words["b"], end]
    assert joined[0]["token_type_ids"] == [0, 0, 0, 1, 1]
    first, second = tokenize(tokenizer, ClassifierConfig(encoding=Encoding.PAIR), ["cat"], ["dog"])
    assert (first[0]["input_ids"], second[0]["input_ids"]) == ([start, words["a"], end], [start, words["b"], end])


@pytest.mark.parametrize("pairs", [None, ["word " * 50]])
def test_texts_are_cut_to_the_length(tokenizer, pairs):
    (tokens,), _ = tokenize(tokenizer, ClassifierConfig(max_length=8), ["word " * 50], pairs)
    assert len(tokens["input_ids"]) == 8


def test_padding_is_masked_and_on_the_right(tokenizer):
    sequences, _ = tokenize(tokenizer, ClassifierConfig(), ["cat", "cat dog cat"], None)
    padded = pad(tokenizer, sequences)
    assert padded["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert padded["input_ids"][0, 3:].tolist() == [tokenizer.pad_token_id] * 2


def test_a_text_without_tokens_becomes_one_padding_token_that_is_seen(tokenizer, monkeypatch):
    # As with a tokenizer that adds no special token.
    monkeypatch.setattr(tokenizer, "_add_special_tokens", False, raising=False)
    bare = lambda texts, pairs, **options: type(tokenizer).__call__(  # noqa: E731
        tokenizer, texts, pairs, add_special_tokens=False, **options
    )
    bare.pad_token_id = 7
    ((tokens),), _ = tokenize(bare, ClassifierConfig(), [""], None)
    assert (tokens["input_ids"], tokens["attention_mask"]) == ([7], [1])


def test_a_text_that_the_vocabulary_cannot_spell_fails_alone_and_other_faults_are_no_texts():
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0})))

    def encode(texts):
        return words(list(texts), add_special_tokens=False)["input_ids"]

    first, second = each(encode, ["a", "b"], "text")
    assert first == [0]
    assert isinstance(second, InvalidArgument)
    assert second.message.startswith("text: cannot be tokenized: WordLevel error: Missing [UNK]")

    def fault(_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        each(fault, ["a"], "text")
