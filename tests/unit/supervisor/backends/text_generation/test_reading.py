from __future__ import annotations

import numpy as np
import pytest
from support.text_generation.language import encode

from w2s.errors import FailedPrecondition, Internal, InvalidArgument
from w2s.models.inputs import Completion
from w2s_supervisor.backends.protocol import Ability, Lane
from w2s_supervisor.backends.text_generation.failures import RowError
from w2s_supervisor.backends.text_generation.reading import boundary, continuation, known
from w2s_supervisor.backends.text_generation.server import Token

APIS = pytest.mark.parametrize("api", ["tgi", "openai"])


@pytest.fixture
async def scorer(api, teachers, control):
    control(api=api, prefill_logprobs=True)
    return await teachers.open()


@pytest.mark.parametrize(
    ("prompt", "wholes", "expected"),
    [
        ([0, 1, 2], [[0, 1, 2, 3]], 3),
        ([0, 1, 2], [[0, 1, 9]], 2),
        ([0, 1, 2], [[0, 1, 9], [0, 1, 2, 3]], 2),
        ([0, 1], [[5, 1]], 0),
        ([], [[0, 1]], 0),
        ([0, 1, 2], [[0, 1]], 2),
    ],
)
def test_continuations_begin_after_what_all_share(prompt, wholes, expected):
    assert boundary(prompt, *wholes) == expected


def test_the_first_token_of_a_text_has_no_log_probability():
    tokens = [Token(1, "the", None), Token(2, " cat", -1.0)]
    np.testing.assert_array_equal(continuation(tokens, 1, "host"), [-1.0])
    with pytest.raises(RowError, match="the first of a text"):
        continuation(tokens, 0, "host")


@pytest.mark.parametrize("value", [None, float("nan"), float("-inf"), float("inf")])
def test_what_is_no_finite_number_is_no_log_probability(value):
    with pytest.raises(RowError) as caught:
        known(value, "host:80")
    assert isinstance(caught.value.error, Internal)
    assert "host:80" in caught.value.error.message


@APIS
async def test_scores_are_log_likelihoods_of_the_completions_tokens(scorer, log_p):
    completions = [
        Completion("the cat", " sat and ran"),
        Completion("the cat", " definitely not"),
        Completion("a dog ü", " is\nold"),
    ]
    answers = await scorer.score(completions, Lane.ONLINE)
    for completion, answer in zip(completions, answers, strict=True):
        expected = log_p(completion.prompt, completion.completion)
        np.testing.assert_allclose(answer.token_log_likelihoods, expected, atol=1e-4)
        assert answer.token_log_likelihoods.dtype == np.float32


@APIS
async def test_a_completion_that_merges_with_the_prompt_begins_at_the_merged_token(scorer, log_p):
    # "->" and "yes" are read as "->y", "e", "s": the prompt's last token is part of the first.
    (answer,) = await scorer.score([Completion("the cat->", "yes")], Lane.ONLINE)
    expected = log_p("the cat->", "yes", given=len(encode("the cat")))
    assert len(expected) == 3
    np.testing.assert_allclose(answer.token_log_likelihoods, expected, atol=1e-4)


@APIS
async def test_compare_weighs_two_completions_of_one_prompt(scorer, log_p):
    pair = (Completion("the cat", " sat"), Completion("the cat", " definitely not"))
    a, b = (log_p("the cat", completion.completion) for completion in pair)
    for normalized, margin in ((False, a.sum() - b.sum()), (True, a.mean() - b.mean())):
        (answer,) = await scorer.compare([pair], normalized, Lane.ONLINE)
        assert answer.probability_a == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-4)


async def test_prompts_are_tokenized_once(teachers, control):
    control(prefill_logprobs=True)
    teacher = await teachers.open()
    before = control()["asked"]["/tokenize"]
    await teacher.score([Completion("the cat", f" {word}") for word in ("sat", "ran", "saw")], Lane.ONLINE)
    assert control()["asked"]["/tokenize"] == before + 1


@pytest.mark.parametrize("api", ["tgi"])
async def test_a_completion_that_begins_the_text_has_no_score(scorer):
    # TGI refuses to generate from nothing, but tokenizes it.
    first, second = await scorer.score([Completion("", "the cat"), Completion("the", " cat")], Lane.ONLINE)
    np.testing.assert_equal(len(second.token_log_likelihoods), 1)
    # The token that begins every text is shared, so that "the cat" has its odds after it.
    assert len(first.token_log_likelihoods) == len(encode("the cat")) - 1


@APIS
async def test_an_empty_completion_is_an_error_in_its_place(scorer):
    empty, scored = await scorer.score([Completion("the cat", ""), Completion("the cat", " sat")], Lane.ONLINE)
    assert isinstance(empty, InvalidArgument)
    assert len(scored.token_log_likelihoods) == 1


@APIS
async def test_a_missing_log_probability_is_an_error_in_its_place(scorer, control):
    control(missing_logprob=" old")
    broken, scored = await scorer.score([Completion("the cat", " is old"), Completion("the cat", " ran")], Lane.ONLINE)
    assert isinstance(broken, Internal)
    assert len(scored.token_log_likelihoods) == 1


@APIS
async def test_what_is_too_long_is_an_error_in_its_place(api, teachers, control):
    control(api=api, prefill_logprobs=True, max_input_tokens=40)
    scorer = await teachers.open()
    long, scored = await scorer.score([Completion("the cat", "x" * 60), Completion("the cat", " ran")], Lane.ONLINE)
    assert isinstance(long, InvalidArgument)
    assert "40" in long.message
    assert "xxx" not in long.message
    assert len(scored.token_log_likelihoods) == 1


@pytest.mark.parametrize(
    ("switches", "words"),
    [({}, "--enable-prefill-logprobs"), ({"api": "openai", "echo": False}, "echo with logprobs")],
)
async def test_a_server_that_reads_no_texts_cannot_score(switches, words, teachers, control):
    control(**switches)
    identity = await teachers.identify()
    assert identity.abilities == {Ability.GENERATE}
    teacher = await teachers.open()
    with pytest.raises(FailedPrecondition, match=words):
        await teacher.score([Completion("the cat", " sat")], Lane.ONLINE)


async def test_a_server_that_stops_reading_texts_says_so(teachers, control):
    control(prefill_logprobs=True)
    teacher = await teachers.open()
    control(prefill_logprobs=False)
    with pytest.raises(FailedPrecondition, match="--enable-prefill-logprobs"):
        await teacher.score([Completion("the cat", " sat")], Lane.ONLINE)
