from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import BOS, EOS, byte_tokenizer, causal

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.models.causal_engine import CausalEngine, ChoiceItem, ScoredItem
from w2s.models.inputs import Completion, Row, Sampling
from w2s.models.prompts import PromptTemplate, Shot

ONE_BYTE = PromptTemplate(template="Q: {text} A:", answers=("y", "n", "?"), label_names=("yes", "no", "unsure"))
WORDS = PromptTemplate(template="Q: {text} {text_pair} A:", answers=(" yes", " not at all"), label_names=("yes", "no"))
TEXTS = [f"text {index} " + "and more " * (index % 8) for index in range(32)]


def engine(architecture="llama", template=None, *, chat_template=False, **tokenizer):
    return CausalEngine(causal(architecture), byte_tokenizer(**tokenizer), template, chat_template=chat_template)


def log_softmax(model, ids):
    """log p(ids[t + 1] | ids[: t + 1]) for every token but the first, by float64 arithmetic on all logits."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double().numpy()
    logits -= logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def token_log_likelihoods(model, ids, start):
    table = log_softmax(model, ids)
    return np.array([table[at - 1, ids[at]] for at in range(start, len(ids))])


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3", "gemma2"])
def test_completions_get_the_log_likelihood_of_each_token(architecture):
    lm = engine(architecture, bos=True)
    completions = [Completion("a prompt", " and its end"), Completion("x", "y"), Completion("", "all of it")]
    arrays = lm.run(lm.encode_completions(completions))
    for completion, found in zip(completions, arrays, strict=True):
        ids = [BOS, *(completion.prompt + completion.completion).encode()]
        expected = token_log_likelihoods(causal(architecture), ids, 1 + len(completion.prompt))
        assert (found.dtype, found.shape) == (np.float32, (len(completion.completion),))
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3", "gemma2"])
def test_an_item_gives_the_same_whatever_shares_its_batch(architecture):
    lm = engine(architecture, ONE_BYTE, bos=True)
    # Among them texts that end in the token that pads, and single tokens.
    scored = lm.encode_completions(
        [Completion(text, "end<eos><eos>"[: 3 + 5 * (i % 3)]) for i, text in enumerate(TEXTS)]
    )
    choices = [item for (item,) in lm.encode_rows([Row(text) for text in TEXTS[::4]])]
    items = [*scored, *choices, *lm.encode_completions([Completion("", "a")])]
    together = lm.run(items)
    for item, found in zip(items, together, strict=True):
        np.testing.assert_allclose(found, lm.run([item])[0], atol=1e-5)


def test_a_prompt_begins_as_the_tokenizer_begins_a_text_and_no_token_is_put_at_the_end():
    (item,) = engine(bos=True, eos=True).encode_completions([Completion("ab", "cd")])
    assert item == ScoredItem((BOS, *b"abcd"), 3)
    (item,) = engine(eos=True).encode_completions([Completion("ab", "cd")])
    assert item == ScoredItem(tuple(b"abcd"), 2)


def test_with_nothing_before_the_first_token_a_token_is_put_in_front():
    assert engine().encode_completions([Completion("", "cd")]) == [ScoredItem((BOS, *b"cd"), 1)]
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = None
    lm = CausalEngine(causal("llama"), tokenizer)
    assert lm.encode_completions([Completion("", "cd")]) == [ScoredItem((EOS, *b"cd"), 1)]
    bare = CausalEngine(causal("llama"), byte_tokenizer(ends=False))
    (error, item) = bare.encode_completions([Completion("", "cd"), Completion("a", "b")])
    assert isinstance(error, InvalidArgument)
    assert item == ScoredItem(tuple(b"ab"), 1)


def test_a_completion_without_a_token_is_an_error_and_the_others_live():
    error, item = engine().encode_completions([Completion("ab", ""), Completion("a", "b")])
    assert (type(error), error.field) == (InvalidArgument, "completion")
    assert item == ScoredItem(tuple(b"ab"), 1)


def test_a_completion_that_is_too_long_is_an_error_with_its_tokens_and_the_limit():
    item, error, broken = engine(bos=True).encode_completions(
        [Completion("a" * 100, "b" * 27), Completion("a" * 100, "b" * 28), Completion("\ud800", "b")]
    )
    assert item.length == 128
    assert error.message == "completion: has 129 tokens with its prompt; this model reads 128 at most"
    assert broken.message.startswith("completion: cannot be tokenized")


def test_one_token_answers_are_read_in_one_forward():
    lm = engine(template=ONE_BYTE, bos=True)
    ((item,),) = lm.encode_rows([Row("is it?")])
    ids = [BOS, *b"Q: is it? A:"]
    assert item == ChoiceItem(tuple(ids), tuple(b"yn?"))
    expected = log_softmax(causal("llama"), ids)[-1][list(b"yn?")]
    np.testing.assert_allclose(lm.logits([lm.run([item])])[0], expected, atol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3"])
def test_the_short_way_equals_the_general_way(architecture):
    lm = engine(architecture, ONE_BYTE)
    rows = [Row(text) for text in TEXTS[:8]]
    short = lm.logits([lm.run(items) for items in lm.encode_rows(rows)])
    prompts = [ONE_BYTE.render(row) for row in rows]
    general = lm.logits([lm.run(lm.encode_completions([Completion(p, a) for a in ONE_BYTE.answers])) for p in prompts])
    assert short.shape == general.shape == (8, 3)
    np.testing.assert_allclose(short, general, atol=1e-5)


@pytest.mark.parametrize("mean", [False, True])
def test_longer_answers_are_summed_or_averaged_over_their_tokens(mean):
    lm = engine(template=WORDS.model_copy(update={"length_normalized": mean}))
    assert (lm.needs_pairs, lm.label_names) == (True, ("yes", "no"))
    (items,) = lm.encode_rows([Row("is it?", "It is.")])
    found = lm.logits([lm.run(items)])
    prompt = b"Q: is it? It is. A:"
    tokens = [
        token_log_likelihoods(causal("llama"), [*prompt, *answer], len(prompt)) for answer in (b" yes", b" not at all")
    ]
    expected = [values.mean() if mean else values.sum() for values in tokens]
    assert [len(values) for values in tokens] == [4, 11]
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_shots_stand_before_the_question():
    shots = (Shot(text="one", label=1), Shot(text="two", label=0))
    lm = engine(template=ONE_BYTE.model_copy(update={"shots": shots, "separator": "|"}))
    ((item,),) = lm.encode_rows([Row("three")])
    assert bytes(item.ids) == b"Q: one A:n|Q: two A:y|Q: three A:"


def test_rows_that_cannot_be_read_are_errors_and_the_others_live():
    lm = engine(template=ONE_BYTE)
    good, long, broken = lm.encode_rows([Row("good"), Row("x" * 128), Row("\ud800")])
    assert len(good) == 1
    # The prompt adds "Q: " and " A:", and the answer a byte.
    assert long.message == "text: has 135 tokens with its prompt; this model reads 128 at most"
    assert (type(broken), broken.field) == (InvalidArgument, "text")


def test_without_a_template_it_does_not_label():
    lm = engine()
    assert (lm.label_names, lm.scores, lm.generates) == ((), True, True)
    with pytest.raises(FailedPrecondition):
        lm.encode_rows([Row("a")])
    with pytest.raises(FailedPrecondition):
        lm.logits([[np.zeros(1, np.float32)]])


def test_a_chat_template_makes_the_prompt_a_users_turn():
    lm = engine(template=ONE_BYTE, chat_template=True, bos=True, chat=True)
    (item,) = lm.encode_completions([Completion("ab", "cd")])
    prompt = b"<|user|>ab"
    # <end> is a special token of the tokenizer, and the template is to begin the text itself.
    assert item.ids == (*prompt, 258, *b"<|assistant|>cd")
    assert item.start == len(item.ids) - 2
    ((choice,),) = lm.encode_rows([Row("ab")])
    assert choice.ids == (*b"<|user|>Q: ab A:", 258, *b"<|assistant|>")


def test_a_chat_template_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="chat template"):
        engine(chat_template=True)


def test_a_chat_template_that_refuses_a_prompt_is_that_prompts_error():
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = "{% if 'bad' in messages[0].content %}{{ raise_exception('no') }}{% endif %}hello "
    lm = CausalEngine(causal("llama"), tokenizer, chat_template=True)
    error, item = lm.encode_completions([Completion("bad", "b"), Completion("good", "b")])
    assert (type(error), error.field) == (InvalidArgument, "completion")
    assert bytes(item.ids) == b"hello b"


def test_bfloat16_is_close_to_float32():
    completions = [Completion(text, "and so on") for text in TEXTS[:4]]
    half = CausalEngine(causal("llama").to(torch.bfloat16), byte_tokenizer())
    full = engine()
    for low, high in zip(
        half.run(half.encode_completions(completions)), full.run(full.encode_completions(completions)), strict=True
    ):
        assert low.dtype == np.float32
        assert 0 < abs(low - high).max() < 0.5


def test_a_prompt_that_fills_the_context_is_refused():
    lm = engine(bos=True)
    with pytest.raises(InvalidArgument, match="prompts: has 128 tokens; this model reads 128 at most"):
        lm.decoder(Sampling("a" * 127))
    with pytest.raises(InvalidArgument, match="prompts: cannot be tokenized"):
        lm.decoder(Sampling("\ud800"))
    with pytest.raises(InvalidArgument, match=r"prompts\[1\]: has 128 tokens"):
        lm.decoder(Sampling("a"), Sampling("a" * 127))


# On real weights, with a tokenizer that merges.


def test_a_completions_tokens_begin_where_the_texts_tokens_part(smollm2):
    tokenizer = smollm2._prompts.tokenizer
    # Alone the prompt ends in the token " ", which joins the word that follows.
    prompt, text = (tokenizer(text)["input_ids"] for text in ("The answer is ", "The answer is yes"))
    (item,) = smollm2.encode_completions([Completion("The answer is ", "yes")])
    assert len(prompt) == len(text) == 4
    assert prompt[:3] == text[:3]
    assert item == ScoredItem(tuple(text), 3)


def test_real_log_likelihoods_are_those_of_the_full_logits(smollm2):
    completions = [
        Completion("The capital of France is", " Paris, and the capital of Italy is Rome."),
        Completion("1 2 3 4 5 6 7", " 8"),
        Completion("The capital of France is", " a purple quantity of seven."),
    ]
    items = smollm2.encode_completions(completions)
    found = smollm2.run(items)
    for item, values in zip(items, found, strict=True):
        expected = token_log_likelihoods(smollm2._model.model, list(item.ids), item.start)
        np.testing.assert_allclose(values, expected, atol=1e-4)
    assert found[0].mean() > found[2].mean() + 3
