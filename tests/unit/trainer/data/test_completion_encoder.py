from __future__ import annotations

import copy

import pytest
from helpers.tiny_models import BOS, CHAT, EOS, byte_tokenizer

from w2s.errors import InvalidArgument
from w2s_trainer.data import CompletionEncoder


def encoded(tokenizer, max_length, *pairs, chat_template=False):
    encoder = CompletionEncoder(tokenizer, max_length, chat_template=chat_template)
    ids = [f"e{row}" for row in range(len(pairs))]
    return encoder.completions(ids, [prompt for prompt, _ in pairs], [completion for _, completion in pairs])


def test_a_completion_follows_its_prompt_without_special_tokens_between_and_ends(bytes_, rows_of):
    found = encoded(bytes_, 64, ("ab", "cde"), ("f", "g"))
    assert rows_of(found.tokens) == [[BOS, *b"ab", *b"cde", EOS], [BOS, *b"f", *b"g", EOS]]
    assert rows_of(found.tokens, "completion_mask") == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1]]
    assert found.cut.tolist() == [False, False]


def test_no_token_lies_across_the_seam(minilm, rows_of):
    # As one text "un" and "known" are one word.
    tokenizer = copy.deepcopy(minilm)
    tokenizer.eos_token = minilm.sep_token
    found = encoded(tokenizer, 64, ("un", "known thing"))
    words = [minilm.convert_tokens_to_ids(word) for word in ("un", "known", "thing")]
    assert minilm("unknown")["input_ids"][1:-1] == [minilm.convert_tokens_to_ids("unknown")]
    assert rows_of(found.tokens) == [[minilm.cls_token_id, *words, minilm.sep_token_id]]
    assert rows_of(found.tokens, "completion_mask") == [[0, 0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("max_length", "ids", "completion_tokens"),
    [
        (9, [BOS, *b"abcd", *b"xyz", EOS], 4),
        (8, [BOS, *b"bcd", *b"xyz", EOS], 4),
        (6, [BOS, *b"d", *b"xyz", EOS], 4),
        (5, [BOS, *b"xyz", EOS], 4),
        (4, [BOS, *b"xyz"], 3),
        (2, [BOS, *b"x"], 1),
    ],
)
def test_a_prompt_is_cut_at_its_beginning_and_then_the_completion_at_its_end(
    bytes_, rows_of, max_length, ids, completion_tokens
):
    found = encoded(bytes_, max_length, ("abcd", "xyz"))
    assert rows_of(found.tokens) == [ids]
    assert rows_of(found.tokens, "completion_mask") == [[0] * (len(ids) - completion_tokens) + [1] * completion_tokens]
    assert found.cut.tolist() == [max_length < 9]


def test_without_a_token_that_begins_texts_the_prompts_last_one_stays(rows_of):
    found = encoded(byte_tokenizer(), 4, ("abcd", "xyz"))
    assert rows_of(found.tokens) == [[*b"d", *b"xyz"]]


@pytest.mark.parametrize(("bos", "first"), [(True, BOS), (False, EOS)])
def test_an_empty_prompt_is_begun(bos, first, rows_of):
    tokenizer = byte_tokenizer(bos=bos)
    if not bos:
        tokenizer.bos_token = None
    found = encoded(tokenizer, 8, ("", "x"))
    assert rows_of(found.tokens) == [[first, *b"x", EOS]]
    assert rows_of(found.tokens, "completion_mask") == [[0, 1, 1]]


def test_a_chat_template_is_cut_where_the_answer_begins(bytes_, rows_of):
    found = encoded(bytes_, 64, ("hi", "ho"), chat_template=True)
    prompt, answer = b"<|user|>hi", b"<|assistant|>ho"
    # <end> is a token of its own.
    end = bytes_.convert_tokens_to_ids("<end>")
    assert rows_of(found.tokens) == [[*prompt, end, *answer, end]]
    seam = len(prompt) + 1 + len(b"<|assistant|>")
    assert rows_of(found.tokens, "completion_mask") == [[0] * seam + [1, 1, 1]]


def test_a_template_that_rewrites_an_answered_prompt_is_refused(bytes_):
    bytes_.chat_template = "{{ messages | length }}" + CHAT
    with pytest.raises(InvalidArgument, match=r"model\.chat_template: .* example e0 "):
        encoded(bytes_, 64, ("hi", "ho"), chat_template=True)


def test_a_missing_template_is_refused():
    with pytest.raises(InvalidArgument, match=r"model\.chat_template"):
        CompletionEncoder(byte_tokenizer(), 64, chat_template=True)


def test_an_empty_completion_is_refused_by_its_id(bytes_):
    with pytest.raises(InvalidArgument, match="example e1 has no token"):
        encoded(bytes_, 64, ("a", "b"), ("a", ""))


def test_what_leaves_nothing_to_learn_is_refused():
    with pytest.raises(InvalidArgument, match=r"model\.max_length"):
        CompletionEncoder(byte_tokenizer(), 1)
    with pytest.raises(InvalidArgument, match=r"model\.base: .* end token"):
        CompletionEncoder(byte_tokenizer(ends=False), 8)


def test_a_chat_prompt_that_is_empty_needs_a_token_to_begin_with():
    tokenizer = byte_tokenizer(ends=False)
    tokenizer.chat_template = "{{ messages[0].content }}{% if messages[1:] %}{{ messages[1].content }}{% endif %}"
    with pytest.raises(InvalidArgument, match="prompt of example e0"):
        encoded(tokenizer, 8, ("", "x"), chat_template=True)


def test_plain_texts_are_completions_of_nothing_and_may_be_empty(bytes_, rows_of):
    found = CompletionEncoder(bytes_, 4, chat_template=True).texts(["a", "b", "c"], ["xy", "", "abcd"])
    assert rows_of(found.tokens) == [[BOS, *b"xy", EOS], [BOS, EOS], [BOS, *b"abc"]]
    assert found.cut.tolist() == [False, False, True]
