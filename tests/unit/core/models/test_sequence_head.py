from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import BOS, EOS, byte_tokenizer, headed

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.models.inputs import Completion, Row
from w2s.models.sequence_head import HeadClassifier, RewardEngine

DECODERS = ["llama", "gpt2", "qwen3"]
ARCHITECTURES = [*DECODERS, "bert", "roberta", "bart"]
# Many end in the token that decoders are padded with here, or hold it.
TEXTS = [f"text {i} " + "and more " * (i % 6) + ("", "<eos>", "<eos> and <eos><eos>")[i % 3] for i in range(32)]


def tokenizer(architecture, **options):
    # An encoder-decoder reads its answer off the end token.
    return byte_tokenizer(eos=architecture == "bart", **options)


def classifier(architecture="llama", label_names=(), max_length=0, **changes):
    return HeadClassifier(headed(architecture, **changes), tokenizer(architecture), label_names, max_length)


def reward(architecture="llama", *, chat_template=False, **options):
    return RewardEngine(headed(architecture, labels=1), tokenizer(architecture, **options), chat_template=chat_template)


def run_each(engine, rows):
    """Every row in a batch of its own."""
    return np.stack([engine.run(items)[0] for items in engine.encode_rows(rows)])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_row_gives_the_same_whatever_shares_its_batch(architecture):
    engine = classifier(architecture)
    encoded = engine.encode_rows([Row(text) for text in TEXTS])
    together = engine.run([item for (item,) in encoded])
    np.testing.assert_allclose(together, run_each(engine, [Row(text) for text in TEXTS]), atol=1e-5)
    np.testing.assert_array_equal(engine.logits([[array] for array in together]), together)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert", "roberta"])
def test_logits_are_those_of_the_model_itself(architecture):
    ids = [list(text.encode()) for text in ("one text", "another one")]
    with torch.inference_mode():
        expected = [headed(architecture)(torch.tensor([row])).logits[0].numpy() for row in ids]
    np.testing.assert_allclose(
        run_each(classifier(architecture), [Row("one text"), Row("another one")]), expected, atol=1e-5
    )


@pytest.mark.parametrize("architecture", DECODERS)
def test_decoders_are_read_at_the_last_token_though_it_is_the_one_that_pads(architecture):
    model = headed(architecture)
    ids = [*b"a text", EOS, EOS]
    with torch.inference_mode():
        hidden = model.base_model(torch.tensor([ids])).last_hidden_state[0, -1].double()
    expected = model.score.weight.detach().double() @ hidden
    engine = HeadClassifier(headed(architecture), byte_tokenizer())
    assert engine._tokenizer.pad_token_id == EOS
    (short,), (long,) = engine.encode_rows([Row("a text<eos><eos>"), Row("a much longer text than that")])
    for batch in ([short], [short, long], [long, short]):
        found = engine.run(batch)[batch.index(short)]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_two_texts_are_joined_and_one_text_stands_alone_beside_them():
    engine = classifier("bert")
    (single,), (joined,) = engine.encode_rows([Row("ab"), Row("ab", "cd")])
    assert [dict(item.columns)["input_ids"] for item in (single, joined)] == [tuple(b"ab"), tuple(b"abcd")]
    assert not engine.needs_pairs


def test_equal_texts_make_equal_items():
    first, second, other = (item for (item,) in classifier().encode_rows([Row("a"), Row("a"), Row("b")]))
    assert first == second != other
    assert len({first, second, other}) == 2


def test_rows_are_cut_to_the_length_asked_for_or_the_models():
    def length(**options):
        return classifier(**options).encode_rows([Row("x" * 1000)])[0][0].length

    assert length(max_length=5) == 5
    assert length() == 128
    assert length(max_position_embeddings=2000) == 512
    # RoBERTa's first two positions are not for tokens.
    assert length(architecture="roberta") == 126
    assert np.isfinite(run_each(classifier("roberta"), [Row("x" * 1000)])).all()
    with pytest.raises(ValueError, match="has 128 positions, and max_length is 129"):
        classifier(max_length=129)


def test_a_row_that_is_no_text_is_an_error_and_the_others_live():
    (good,), error, (pair,) = classifier().encode_rows([Row("a"), Row("\ud800"), Row("a", "b")])
    assert (good.length, pair.length) == (1, 2)
    assert (type(error), error.field) == (InvalidArgument, "text")


def test_classes_have_the_models_names_or_those_given():
    assert classifier().label_names == ("class 0", "class 1", "class 2")
    assert classifier(label_names=("a", "b", "c")).label_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="has 3 outputs, and label_names has 2 entries"):
        classifier(label_names=("a", "b"))


def test_models_without_exclusive_classes_are_no_classifiers():
    with pytest.raises(ValueError, match="is no classifier of exclusive classes: it has 1 outputs"):
        classifier(labels=1)
    with pytest.raises(ValueError, match="is no classifier of exclusive classes"):
        classifier(problem_type="multi_label_classification")


def test_a_model_whose_answers_depend_on_padding_is_refused():
    # FNet mixes all tokens, and knows no mask.
    with pytest.raises(ValueError, match="FNetForSequenceClassification answers otherwise"):
        classifier("fnet")


def test_a_classifier_scores_nothing_and_a_reward_model_labels_nothing():
    assert (classifier().scores, reward().scores, reward().label_names) == (False, True, ())
    with pytest.raises(FailedPrecondition):
        classifier().encode_completions([Completion("a", "b")])
    with pytest.raises(FailedPrecondition):
        reward().encode_rows([Row("a")])


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_a_reward_is_the_models_output_for_prompt_and_completion(architecture):
    engine = reward(architecture, bos=True)
    items = engine.encode_completions([Completion("a prompt", " and more"), Completion("a prompt", " less")])
    for found, text in zip(engine.run(items), (b"a prompt and more", b"a prompt less"), strict=True):
        with torch.inference_mode():
            expected = headed(architecture, labels=1)(torch.tensor([[BOS, *text]])).logits[0].numpy()
        assert (found.shape, found.dtype) == ((1,), np.float32)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rewards_do_not_depend_on_what_shares_their_batch():
    engine = reward()
    items = engine.encode_completions([Completion(text, "<eos>") for text in TEXTS])
    np.testing.assert_allclose(engine.run(items), [engine.run([item])[0] for item in items], atol=1e-5)


def test_a_chat_template_makes_turns_and_adds_no_tokens_of_its_own():
    (item,) = reward(chat_template=True, chat=True, bos=True).encode_completions([Completion("ab", "cd")])
    # <end> is a token of its own.
    expected = (*b"<|user|>ab", 258, *b"<|assistant|>cd", 258)
    assert dict(item.columns)["input_ids"] == expected
    with pytest.raises(ValueError, match="chat template"):
        reward(chat_template=True)


def test_completions_that_cannot_be_read_whole_are_errors():
    fits, long, empty = reward(bos=False).encode_completions(
        [Completion("a" * 100, "b" * 28), Completion("a" * 100, "b" * 29), Completion("", "")]
    )
    assert fits.length == 128
    assert long.message == "completion: has 129 tokens with its prompt; this model reads from 1 to 128"
    assert (type(empty), empty.field) == (InvalidArgument, "completion")


def test_a_model_of_several_outputs_is_no_reward_model():
    with pytest.raises(ValueError, match="is no reward model: it has 3 outputs, not 1"):
        RewardEngine(headed("llama"), byte_tokenizer())


def test_bfloat16_is_close_to_float32():
    rows = [Row(text) for text in TEXTS[:4]]
    half = HeadClassifier(headed("bert").to(torch.bfloat16), byte_tokenizer())
    low, high = run_each(half, rows), run_each(classifier("bert"), rows)
    assert low.dtype == np.float32
    assert 0 < abs(low - high).max() < 0.2
