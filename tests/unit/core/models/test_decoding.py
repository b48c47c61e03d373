from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import EOS, VOCABULARY, byte_tokenizer, causal

from w2s.models.architecture import render_chat
from w2s.models.causal_engine import CausalEngine
from w2s.models.inputs import Sampling

ARCHITECTURES = ["llama", "gpt2", "qwen3", "gemma2", "opt"]
# These answer mostly in bytes that are no text: what they say is told by the tokens they take.
RANDOM = {"temperature": 1.0, "seed": 7, "max_new_tokens": 24}


def engine(architecture="llama", seed=0, **changes):
    return CausalEngine(causal(architecture, seed, **changes), byte_tokenizer())


def drain(decoder, between=lambda: None):
    pieces = []
    while not decoder.done:
        pieces += decoder.step()
        between()
    return pieces


def text(pieces, sample=0):
    return "".join(piece.text for piece in pieces if piece.sample == sample)


def tokens_of(engine, *samplings, between=lambda: None):
    """The tokens that each sample takes, told before they become text."""
    decoder = engine.decoder(*samplings)
    taken = {index: [] for index in range(sum(sampling.samples for sampling in samplings))}
    choose = decoder._choose

    def watch(logits):
        chosen = choose(logits)
        for sample, token in zip(decoder._going, chosen, strict=True):
            taken[sample.index].append(token)
        return chosen

    decoder._choose = watch
    drain(decoder, between)
    return taken


def generate(model, ids, **options):
    ids = torch.tensor([ids])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
    return out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("prompt", ["a", "a prompt that is a good deal longer"])
def test_greedy_tokens_are_those_of_transformers_own_generate(architecture, prompt):
    found = tokens_of(engine(architecture), Sampling(prompt, max_new_tokens=40))[0]
    assert found == generate(causal(architecture), list(prompt.encode()), max_new_tokens=40)


def test_a_sample_does_not_depend_on_how_many_there_are():
    many = tokens_of(engine(), Sampling("a prompt", samples=6, **RANDOM))
    for count in (1, 3):
        fewer = tokens_of(engine(), Sampling("a prompt", samples=count, **RANDOM))
        assert fewer == {index: many[index] for index in range(count)}
    assert len({tuple(tokens) for tokens in many.values()}) == 6


def test_a_sample_depends_on_no_other_generator_and_on_no_other_work_between_its_steps():
    lm, sampling = engine(), Sampling("a prompt", samples=2, **RANDOM)
    alone = tokens_of(lm, sampling)
    torch.manual_seed(5)
    other = lm.decoder(Sampling("another prompt", samples=3, **RANDOM))
    assert tokens_of(lm, sampling, between=lambda: (torch.rand(3), other.step())) == alone


def test_another_seed_gives_other_samples_and_no_seed_another_each_time():
    lm = engine()
    runs = [tokens_of(lm, Sampling("a prompt", **{**RANDOM, "seed": seed}))[0] for seed in (1, 2, None, None)]
    assert len({tuple(run) for run in runs}) == 4


def test_tokens_are_drawn_with_their_probabilities():
    lm, model = engine(), causal("llama")
    drawn = tokens_of(lm, Sampling("a prompt", samples=4000, max_new_tokens=1, temperature=1.5, seed=0))
    counts = np.bincount([tokens[0] for tokens in drawn.values()], minlength=VOCABULARY)
    with torch.inference_mode():
        logits = model(torch.tensor([list(b"a prompt")])).logits[0, -1].double().numpy()
    expected = np.exp(logits / 1.5) / np.exp(logits / 1.5).sum()
    # Five standard deviations of a share of 4,000.
    assert (abs(counts / 4000 - expected) <= 5 * np.sqrt(expected * (1 - expected) / 4000)).all()


def test_top_p_leaves_the_smallest_set_that_reaches_it():
    model = causal("llama")
    with torch.inference_mode():
        probabilities = model(torch.tensor([list(b"a prompt")])).logits[0, -1].double().softmax(-1).numpy()
    order = np.argsort(-probabilities)
    kept = order[: int((np.cumsum(probabilities[order]) < 0.3).sum()) + 1]
    sampling = Sampling("a prompt", samples=1000, max_new_tokens=1, temperature=1.0, top_p=0.3, seed=0)
    assert {tokens[0] for tokens in tokens_of(engine(), sampling).values()} == set(kept.tolist())


@pytest.mark.parametrize(
    "options", [{"temperature": 1e-38}, {"temperature": 1e-3}, {"temperature": 1.0, "top_p": 1e-6}]
)
def test_little_randomness_is_greedy(options):
    greedy = tokens_of(engine(), Sampling("a prompt", max_new_tokens=24))
    assert tokens_of(engine(), Sampling("a prompt", max_new_tokens=24, seed=0, **options)) == greedy


def test_samples_that_go_on_are_not_touched_by_those_that_end():
    # With many tokens that end, samples end at different steps.
    ends = list(range(0, VOCABULARY, 16))
    lm = engine(eos_token_id=ends)
    together = tokens_of(lm, Sampling("a prompt", samples=8, **RANDOM))
    assert len({len(tokens) for tokens in together.values()}) > 2
    # Nothing ends early here, and so nothing leaves the batch.
    whole = tokens_of(engine(eos_token_id=None), Sampling("a prompt", samples=8, **RANDOM))
    for index, tokens in together.items():
        assert tokens == whole[index][: len(tokens)]
        assert all(token not in ends for token in tokens[:-1])


@pytest.mark.parametrize("many", [False, True])
def test_an_end_token_ends_a_sample_and_is_counted_but_no_text(many):
    greedy = generate(causal("llama", eos_token_id=None), list(b"hello"), max_new_tokens=10)
    at = next(at for at in range(2, 10) if greedy[at] not in greedy[:at])
    lm = engine(eos_token_id=[EOS, greedy[at]] if many else greedy[at])
    pieces = drain(lm.decoder(Sampling("hello", max_new_tokens=10)))
    assert (pieces[-1].finish_reason, sum(piece.tokens for piece in pieces)) == ("eos", at + 1)
    assert text(pieces) == bytes(greedy[:at]).decode(errors="replace").rstrip("\ufffd")


def test_the_generation_configs_end_tokens_come_before_the_models():
    model = causal("llama")
    greedy = generate(causal("llama", eos_token_id=None), list(b"hello"), max_new_tokens=3)
    model.generation_config.eos_token_id = greedy[1]
    pieces = drain(CausalEngine(model, byte_tokenizer()).decoder(Sampling("hello", max_new_tokens=10)))
    assert (pieces[-1].finish_reason, sum(piece.tokens for piece in pieces)) == ("eos", 2)


def test_without_end_tokens_for_generation_the_models_own_end_a_sample():
    greedy = generate(causal("llama", eos_token_id=None), list(b"hello"), max_new_tokens=3)
    model = causal("llama", eos_token_id=greedy[1])
    model.generation_config.eos_token_id = None
    pieces = drain(CausalEngine(model, byte_tokenizer()).decoder(Sampling("hello", max_new_tokens=10)))
    assert (pieces[-1].finish_reason, sum(piece.tokens for piece in pieces)) == ("eos", 2)


def test_a_sample_ends_at_its_limit_or_where_the_context_is_full():
    pieces = drain(engine().decoder(Sampling("a prompt", samples=2, max_new_tokens=5)))
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["length"] * 2
    assert sum(piece.tokens for piece in pieces) == 10
    full = drain(engine(eos_token_id=None).decoder(Sampling("a" * 120, max_new_tokens=50)))
    # The model has 128 positions.
    assert (full[-1].finish_reason, sum(piece.tokens for piece in full)) == ("length", 8)


def test_a_decoder_that_is_done_gives_nothing_and_holds_no_cache():
    decoder = engine().decoder(Sampling("a prompt", max_new_tokens=2))
    drain(decoder)
    assert (decoder.step(), decoder._cache) == ([], None)


# On real weights, which say something.


@pytest.mark.parametrize("prompt", ["The capital of France is", "def add(a, b):", "Once upon a time"])
def test_real_greedy_text_is_that_of_transformers_own_generate(smollm2, prompt):
    tokenizer, model = smollm2._prompts.tokenizer, smollm2._model.model
    expected = generate(model, tokenizer(prompt)["input_ids"], max_new_tokens=12)
    pieces = drain(smollm2.decoder(Sampling(prompt, max_new_tokens=12)))
    assert text(pieces) == tokenizer.decode(expected, skip_special_tokens=True)
    assert sum(piece.tokens for piece in pieces) == len(expected)


def test_a_real_chat_answers_the_user_and_ends(smollm2, smollm2_path):
    tokenizer, model = smollm2._prompts.tokenizer, smollm2._model.model
    chat = CausalEngine(model, tokenizer, chat_template=True)
    prompt = "What is the capital of France? Answer in one word."
    ids = tokenizer(render_chat(tokenizer, prompt), add_special_tokens=False)["input_ids"]
    pieces = drain(chat.decoder(Sampling(prompt, max_new_tokens=30)))
    assert text(pieces) == tokenizer.decode(generate(model, ids, max_new_tokens=30), skip_special_tokens=True)
    assert "Paris" in text(pieces)
    assert pieces[-1].finish_reason == "eos"


def test_a_real_stop_text_that_spans_tokens_ends_the_text(smollm2):
    pieces = drain(smollm2.decoder(Sampling("1, 2, 3, 4, 5, 6,", max_new_tokens=20, stop=("9, 10",))))
    assert text(pieces) == " 7, 8, "
    assert pieces[-1].finish_reason == "stop"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prompts_in_one_batch_are_continued_as_each_is_alone(architecture):
    # Many tokens that end, so that samples leave the batch at different steps.
    lm = engine(architecture, eos_token_id=list(range(0, VOCABULARY, 16)))
    prompts = ["a", "a prompt that is a good deal longer", "a third"]
    samplings = [
        Sampling(prompt, samples=samples, **{**RANDOM, "seed": samples})
        for samples, prompt in enumerate(prompts, start=1)
    ]
    together = tokens_of(lm, *samplings)
    alone = [tokens for sampling in samplings for tokens in tokens_of(lm, sampling).values()]
    assert lm.batches
    assert list(together.values()) == alone
    assert len({len(tokens) for tokens in alone}) > 2


def test_prompts_of_one_length_need_no_padding_and_greedy_is_greedy_for_all():
    lm, prompts = engine(), ["one", "two"]
    together = tokens_of(lm, *(Sampling(prompt, max_new_tokens=12) for prompt in prompts))
    expected = [generate(causal("llama"), list(prompt.encode()), max_new_tokens=12) for prompt in prompts]
    assert list(together.values()) == expected


def test_each_prompt_has_its_own_room():
    lm = engine(eos_token_id=None)
    long = "x" * 120
    together = tokens_of(lm, Sampling(long, max_new_tokens=64), Sampling("short", max_new_tokens=64))
    assert [len(tokens) for tokens in together.values()] == [8, 64]
