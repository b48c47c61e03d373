from __future__ import annotations

import sys

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


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('touch ' ~ messages[0].content) }}",
    "{{ lipsum.__globals__['os'].system('touch ' ~ messages[0].content) }}",
    "{{ messages.append.__self__.__class__.__base__ }}",
    "{{ raise_exception.__globals__['json'].codecs.open(messages[0].content, 'w') }}",
    "{{ strftime_now.__globals__.__builtins__.open(messages[0].content, 'w') }}",
    "{{ ('{0.__class__.__init__.__globals__}').format(messages) }}",
    "{% include '/etc/passwd' %}",
    "{{ messages.clear() }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_gets_out_of_no_sandbox(template, tmp_path):
    marker = tmp_path / "marker"
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match="the chat template fails"):
        render_chat(tokenizer, str(marker))
    assert not marker.exists()


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% set c = a %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 1000000 }}",
        "{{ messages[0].content * 300000 }}",
        "{{ 1 / 0 }}",
        "{{ messages[7].content.nothing }}",
        "{% for",
    ],
)
def test_a_template_that_never_ends_or_writes_too_much_is_refused(template):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    before = sys.gettrace()
    with pytest.raises(ValueError, match="the chat template fails"):
        render_chat(tokenizer, "hi")
    assert sys.gettrace() is before
