from __future__ import annotations

import pytest
from helpers.tiny_models import byte_tokenizer, causal, headed
from transformers import BloomConfig, BloomForCausalLM, GenerationConfig

from w2s.models.architecture import end_ids, position_limit, render_chat


@pytest.mark.parametrize(("model", "limit"), [(causal("llama"), 128), (causal("gpt2"), 128), (headed("roberta"), 126)])
def test_a_model_reads_as_many_tokens_as_it_has_positions_for(model, limit):
    assert position_limit(model, byte_tokenizer()) == limit


def test_the_tokenizer_sets_the_limit_where_the_architecture_has_none():
    tokenizer = byte_tokenizer()
    tokenizer.model_max_length = 77
    bloom = BloomForCausalLM(BloomConfig(vocab_size=259, hidden_size=8, n_layer=1, n_head=2))
    assert position_limit(bloom, tokenizer) == 77


@pytest.mark.parametrize(("ids", "expected"), [(None, set()), (2, {2}), ([2, 5], {2, 5})])
def test_end_tokens_are_none_or_one_or_several(ids, expected):
    assert end_ids(GenerationConfig(eos_token_id=ids)) == expected
    assert end_ids(None) == set()


def test_a_users_turn_is_left_open_for_the_answer_or_answered():
    tokenizer = byte_tokenizer(chat=True)
    assert render_chat(tokenizer, "hi") == "<|user|>hi<end><|assistant|>"
    assert render_chat(tokenizer, "hi", "ho") == "<|user|>hi<end><|assistant|>ho<end>"
    with pytest.raises(ValueError, match="chat template"):
        render_chat(byte_tokenizer(), "hi")
