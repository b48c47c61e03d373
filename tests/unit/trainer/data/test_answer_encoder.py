from __future__ import annotations

import pytest
from helpers.tiny_models import BOS, EOS, byte_tokenizer, headed

from w2s.errors import InvalidArgument
from w2s.models.inputs import Completion
from w2s.models.sequence_head import RewardEngine
from w2s_trainer.data import AnswerEncoder

ANSWERS = [("a prompt ", "an answer"), ("", "x"), ("un", "known <end> thing")]


def encoded(tokenizer, max_length, *pairs, chat_template=False):
    encoder = AnswerEncoder(tokenizer, max_length, chat_template=chat_template)
    ids = [f"e{row}" for row in range(len(pairs))]
    return encoder.answers(ids, [prompt for prompt, _ in pairs], [completion for _, completion in pairs])


@pytest.mark.parametrize("chat_template", [False, True])
def test_sequences_are_those_that_the_supervisor_scores(bytes_, rows_of, chat_template):
    engine = RewardEngine(headed("llama", labels=1), bytes_, chat_template=chat_template)
    items = engine.encode_completions([Completion(*pair) for pair in ANSWERS])
    expected = [list(item.tokens["input_ids"]) for item in items]
    found = encoded(bytes_, 128, *ANSWERS, chat_template=chat_template)
    assert rows_of(found.tokens) == expected
    assert not found.cut.any()


@pytest.mark.parametrize(
    ("max_length", "ids"),
    [
        (8, [BOS, *b"abc", *b"xyz", EOS]),
        (7, [BOS, *b"bc", *b"xyz", EOS]),
        (5, [BOS, *b"xyz", EOS]),
        (4, [BOS, *b"xy", EOS]),
        (3, [BOS, *b"x", EOS]),
    ],
)
def test_special_tokens_stay_when_prompt_and_then_completion_are_cut(bytes_, rows_of, max_length, ids):
    found = encoded(bytes_, max_length, ("abc", "xyz"), ("", "x"))
    assert rows_of(found.tokens) == [ids, [BOS, *b"x", EOS]]
    assert found.cut.tolist() == [max_length < 8, False]


def test_every_column_is_cut_alike(minilm, rows_of):
    found = encoded(minilm, 5, ("one two three four", " five six"))
    words = [minilm.convert_tokens_to_ids(word) for word in ("four", "five", "six")]
    assert rows_of(found.tokens) == [[minilm.cls_token_id, *words, minilm.sep_token_id]]
    assert rows_of(found.tokens, "token_type_ids") == [[0] * 5]


def test_what_cannot_be_read_is_refused(bytes_):
    with pytest.raises(InvalidArgument, match=r"model\.max_length: must be at least 3"):
        AnswerEncoder(bytes_, 2)
    with pytest.raises(InvalidArgument, match=r"model\.chat_template"):
        AnswerEncoder(byte_tokenizer(), 8, chat_template=True)
    with pytest.raises(InvalidArgument, match="example e0 have no token"):
        encoded(byte_tokenizer(), 8, ("", ""))
