from __future__ import annotations

import numpy as np
import pytest
from support.text_generation.language import ToyModel, encode

from w2s.errors import FailedPrecondition, Internal
from w2s.models.inputs import Row
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.spec import ClassMethod

TEXTS = ["the cat sat", "a dog ran", "it is old and good", "naïve"]
ROWS = [Row(text) for text in TEXTS]


async def labels(teacher, rows=ROWS):
    answers = await teacher.label(rows, Lane.BULK)
    return np.stack([answer.probabilities for answer in answers])


@pytest.mark.parametrize("method", [ClassMethod.GRAMMAR, ClassMethod.TOP_TOKENS, ClassMethod.PREFILL])
async def test_probabilities_are_the_models_own(method, teachers, control, prompt, log_p, softmax):
    control(prefill_logprobs=True)
    template = prompt(answers=(" yes", " no", " maybe"))
    teacher = await teachers.open(prompt=template, class_method=method)
    answers = await teacher.label(ROWS, Lane.BULK)
    for row, answer in zip(ROWS, answers, strict=True):
        text = f"Question: {row.text} Answer:"
        expected = softmax([log_p(text, ending).sum() for ending in (" yes", " no", " maybe")])
        np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-4)
        assert answer.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert (answer.logits.dtype, answer.probabilities.dtype) == (np.float32, np.float32)
        reads = 3 * (len(encode(text)) + 1) if method is ClassMethod.PREFILL else len(encode(text))
        assert answer.tokens == reads


async def test_all_methods_say_the_same(teachers, control, prompt):
    control(prefill_logprobs=True)
    methods = (ClassMethod.GRAMMAR, ClassMethod.TOP_TOKENS, ClassMethod.PREFILL)
    said = [await labels(await teachers.open(prompt=prompt(), class_method=method)) for method in methods]
    np.testing.assert_allclose(said[1], said[0], rtol=1e-4)
    np.testing.assert_allclose(said[2], said[0], rtol=1e-4)


async def test_a_v1_server_says_the_same(teachers, control, prompt):
    expected = await labels(await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS))
    control(api="openai")
    for method in (ClassMethod.TOP_TOKENS, ClassMethod.PREFILL):
        found = await labels(await teachers.open(prompt=prompt(), class_method=method))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


async def test_a_v1_server_without_echo_is_read_by_the_answers_texts(teachers, control, prompt):
    expected = await labels(await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS))
    control(api="openai", echo=False)
    np.testing.assert_allclose(await labels(await teachers.open(prompt=prompt())), expected, rtol=1e-4)


async def test_logits_are_log_probabilities_of_the_answers(teachers, prompt, log_p):
    text = f"Question: {TEXTS[0]} Answer:"
    expected = [log_p(text, " yes").sum(), log_p(text, " no").sum()]
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS)
    (answer,) = await teacher.label(ROWS[:1], Lane.ONLINE)
    np.testing.assert_allclose(answer.logits, expected, atol=1e-4)


async def test_a_grammar_renormalises_the_logits(teachers, prompt):
    # " ", " y" and " n" begin an answer, so that they pass as well; " yes" and " no" end one.
    values = ToyModel("toy/one").log_probabilities(encode(f"Question: {TEXTS[0]} Answer:"))
    legal = [encode(text)[1] for text in (" yes", " no", " ", " y", " n")]
    expected = values[legal[:2]] - np.log(np.exp(values[legal]).sum())
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.GRAMMAR)
    (answer,) = await teacher.label(ROWS[:1], Lane.ONLINE)
    np.testing.assert_allclose(answer.logits, expected, atol=1e-4)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("api", ["tgi", "openai"])
async def test_answers_of_several_tokens_are_summed_or_averaged(
    api, normalized, teachers, control, prompt, log_p, softmax
):
    control(api=api, prefill_logprobs=True)
    answers = (" yes", " definitely not")
    teacher = await teachers.open(prompt=prompt(answers=answers, length_normalized=normalized))
    found = await labels(teacher)
    for row, probabilities in zip(ROWS, found, strict=True):
        values = [log_p(f"Question: {row.text} Answer:", answer) for answer in answers]
        assert [len(value) for value in values] == [1, 2]
        expected = softmax([value.mean() if normalized else value.sum() for value in values])
        np.testing.assert_allclose(probabilities, expected, rtol=1e-4)


@pytest.mark.parametrize("api", ["tgi", "openai"])
async def test_answers_that_merge_with_the_prompt_begin_where_all_do(api, teachers, control, prompt, log_p, softmax):
    # "->" and "yes" become "->y", "e", "s"; "->" and "no" stay "->", "n", "o". Both follow "the cat".
    control(api=api, prefill_logprobs=True)
    teacher = await teachers.open(prompt=prompt("{text}->", answers=("yes", "no")))
    (answer,) = await teacher.label([Row("the cat")], Lane.ONLINE)
    given = len(encode("the cat"))
    values = [log_p("the cat->", ending, given=given) for ending in ("yes", "no")]
    assert [len(value) for value in values] == [3, 3]
    np.testing.assert_allclose(answer.probabilities, softmax([value.sum() for value in values]), rtol=1e-4)


@pytest.mark.parametrize("api", ["tgi", "openai"])
async def test_an_answer_that_is_not_listed_marks_its_row_alone(api, teachers, control, prompt):
    control(api=api)
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS)
    rows = [Row("the cat"), Row("a hidden dog"), Row("it ran")]
    first, truncated, last = await teacher.label(rows, Lane.BULK)
    assert isinstance(truncated, FailedPrecondition)
    assert "truncated: the server lists only its 5 most probable tokens" in truncated.message
    np.testing.assert_array_equal([first.probabilities, last.probabilities], await labels(teacher, [rows[0], rows[2]]))


async def test_a_grammar_labels_what_the_list_does_not_hold(teachers, prompt, log_p, softmax):
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.GRAMMAR)
    (answer,) = await teacher.label([Row("a hidden dog")], Lane.ONLINE)
    text = "Question: a hidden dog Answer:"
    expected = softmax([log_p(text, " yes").sum(), log_p(text, " no").sum()])
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-4)


async def test_answers_that_a_regex_would_misread_are_escaped(teachers, prompt, log_p, softmax):
    answers = (".", "?", "|", "\\")
    teacher = await teachers.open(prompt=prompt(answers=answers), class_method=ClassMethod.GRAMMAR)
    found = await labels(teacher, ROWS[:1])
    values = [log_p(f"Question: {TEXTS[0]} Answer:", answer).sum() for answer in answers]
    np.testing.assert_allclose(found[0], softmax(values), rtol=1e-4)


async def test_pairs_and_shots_are_rendered(teachers, control, prompt):
    shots = ({"text": "a cat", "text_pair": "a dog", "label": 1},)
    template = prompt("{text} -> {text_pair} Answer:", shots=shots)
    teacher = await teachers.open(prompt=template)
    assert teacher.needs_pairs
    await teacher.label([Row("old", "new")], Lane.ONLINE)
    sent = control()["requests"][-1]["body"]["inputs"]
    assert sent == "a cat -> a dog Answer: no\n\nold -> new Answer:"


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"prefill_logprobs": True}, ClassMethod.GRAMMAR),
        ({"prefill_logprobs": True, "grammar": False}, ClassMethod.PREFILL),
        ({"prefill_logprobs": False, "grammar": False}, ClassMethod.TOP_TOKENS),
        ({"api": "openai"}, ClassMethod.PREFILL),
        ({"api": "openai", "echo": False}, ClassMethod.TOP_TOKENS),
    ],
)
async def test_auto_takes_what_the_server_can(switches, expected, teachers, control, prompt, caplog):
    control(**switches)
    with caplog.at_level("INFO", logger="w2s_supervisor"):
        await teachers.open(prompt=prompt())
    (record,) = [record for record in caplog.records if record.name.startswith("w2s_supervisor")]
    assert record.class_method == expected.name
    asked = await teachers.identify(prompt=prompt(), class_method=expected)
    assert asked.digest == (await teachers.identify(prompt=prompt())).digest


async def test_auto_says_what_would_help_when_nothing_works(teachers, control, prompt):
    control(grammar=False)
    with pytest.raises(FailedPrecondition) as caught:
        await teachers.identify(prompt=prompt(answers=(" yes", " definitely not")))
    assert "--enable-prefill-logprobs" in caught.value.message
    assert "one token" in caught.value.message


@pytest.mark.parametrize(
    ("method", "switches", "answers", "words"),
    [
        (ClassMethod.GRAMMAR, {"grammar": False}, (" yes", " no"), "without --disable-grammar-support"),
        (ClassMethod.GRAMMAR, {"api": "openai"}, (" yes", " no"), "TGI's own interface"),
        (ClassMethod.PREFILL, {}, (" yes", " no"), "--enable-prefill-logprobs"),
        (ClassMethod.PREFILL, {"api": "openai", "echo": False}, (" yes", " no"), "echo"),
        (ClassMethod.TOP_TOKENS, {"max_top_n_tokens": 1}, (" yes", " no"), "--max-top-n-tokens 2"),
        (ClassMethod.GRAMMAR, {}, tuple("abcdef"), "--max-top-n-tokens 6"),
        (ClassMethod.TOP_TOKENS, {}, (" yes", " definitely not"), "' definitely not' is not one"),
        (ClassMethod.GRAMMAR, {}, (" yes", " definitely not"), "' definitely not' is not one"),
        (ClassMethod.TOP_TOKENS, {"api": "openai"}, (" yes", " definitely not"), "' definitely not' is not one"),
        (ClassMethod.TOP_TOKENS, {}, ("ü", "ö"), "different tokens"),
        (ClassMethod.GRAMMAR, {"grammar_ignored": True}, (" yes", " no"), "does not apply the grammar"),
        (
            ClassMethod.PREFILL,
            {"prefill_logprobs": True, "prefill_bare": True},
            (" yes", " no"),
            "in one way and reads",
        ),
    ],
)
async def test_a_method_that_cannot_work_is_refused_with_its_remedy(
    method, switches, answers, words, teachers, control, prompt
):
    control(**switches)
    with pytest.raises(FailedPrecondition) as caught:
        await teachers.identify(prompt=prompt(answers=answers), class_method=method)
    assert words in caught.value.message


@pytest.mark.parametrize("answer", ["y", "ye"])
async def test_an_answer_that_merges_with_the_prompt_is_no_next_token(answer, teachers, prompt):
    template = prompt("{text}->", answers=(answer, "n"))
    with pytest.raises(FailedPrecondition) as caught:
        await teachers.identify(prompt=template, class_method=ClassMethod.TOP_TOKENS)
    assert f"'{answer}' is not one" in caught.value.message


async def test_a_grammar_that_lists_beginnings_in_place_of_answers_is_refused(teachers, control, prompt):
    # " no" begins " not" and is more probable, so that it takes the second of two places.
    control(max_top_n_tokens=2)
    with pytest.raises(FailedPrecondition) as caught:
        await teachers.identify(prompt=prompt(answers=(" yes", " not")), class_method=ClassMethod.GRAMMAR)
    assert "greater --max-top-n-tokens" in caught.value.message


async def test_a_raised_limit_lets_more_answers_be_listed(teachers, control, prompt, log_p, softmax):
    control(max_top_n_tokens=8)
    answers = tuple("abcdef")
    teacher = await teachers.open(prompt=prompt(answers=answers), class_method=ClassMethod.GRAMMAR)
    found = await labels(teacher, ROWS[:1])
    values = [log_p(f"Question: {TEXTS[0]} Answer:", answer).sum() for answer in answers]
    np.testing.assert_allclose(found[0], softmax(values), rtol=1e-4)


@pytest.mark.parametrize("method", [ClassMethod.GRAMMAR, ClassMethod.PREFILL])
async def test_a_missing_log_probability_marks_the_row(method, teachers, control, prompt):
    control(prefill_logprobs=True)
    teacher = await teachers.open(prompt=prompt(), class_method=method)
    control(missing_logprob=" no")
    answers = await teacher.label(ROWS, Lane.BULK)
    assert all(isinstance(answer, Internal) for answer in answers)
    assert "no finite log-probability" in answers[0].message
