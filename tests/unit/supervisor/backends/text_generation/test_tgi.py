from __future__ import annotations

import json
import math
import re

import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import GenerationError, OverloadedError, ValidationError
from support.text_generation.decoding import Settings, continued
from support.text_generation.language import ToyModel, encode

from w2s.errors import ResourceExhausted, Unavailable
from w2s.models.inputs import Completion, Row, Sampling
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.spec import ClassMethod

PROMPT = "Question: the cat Answer:"


@pytest.fixture
async def hub(toy_server, control):
    """Hugging Face's client as users have it."""
    async with AsyncInferenceClient(base_url=toy_server.url, api_key="x") as client:
        yield client


def bodies(control, path):
    return [request["body"] for request in control()["requests"] if request["path"] == path]


async def drain(pieces):
    async for _ in pieces:
        pass


async def test_class_requests_are_greedy_and_carry_no_warpers(teachers, control, prompt):
    control(prefill_logprobs=True)
    for method in (ClassMethod.GRAMMAR, ClassMethod.TOP_TOKENS, ClassMethod.PREFILL):
        teacher = await teachers.open(prompt=prompt(), class_method=method)
        await teacher.label([Row("the cat")], Lane.ONLINE)
    await teacher.score([Completion("the cat", " sat")], Lane.ONLINE)
    asked = [*bodies(control, "/"), *bodies(control, "/generate")]
    assert len(asked) > 6
    for body in asked:
        assert body["parameters"]["do_sample"] is False
        assert body["parameters"]["max_new_tokens"] == 1
        warpers = {"temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "frequency_penalty"}
        assert not warpers & body["parameters"].keys()


async def test_a_grammar_is_an_alternation_of_the_answers(teachers, control, prompt):
    await teachers.open(prompt=prompt(answers=(" yes", ".")), class_method=ClassMethod.GRAMMAR)
    body = bodies(control, "/")[-1]
    assert body["parameters"]["grammar"] == {"type": "regex", "value": r"( yes|\.)"}


async def test_class_questions_keep_their_connections(teachers, control, prompt):
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS)
    await teacher.label([Row("the cat")], Lane.ONLINE)
    before = control()["peers"]
    for number in range(4):
        await teacher.label([Row(f"the cat {number}")], Lane.ONLINE)
    assert control()["peers"] == before


@pytest.mark.parametrize(
    ("switches", "error", "kind"),
    [
        ({"stream_cut": "end"}, Unavailable, "connection"),
        ({"stream_cut": "abort"}, Unavailable, "connection"),
        ({"stream_error": "overloaded"}, ResourceExhausted, "overloaded"),
    ],
)
async def test_class_questions_whose_answer_breaks_off_are_tried_again(
    switches, error, kind, teachers, control, prompt
):
    teacher = await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS)
    control(**switches)
    with pytest.raises(error):
        await teacher.label([Row("the cat")], Lane.ONLINE)
    assert teachers.errors == [kind] * 4


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling("the", max_new_tokens=2), {"do_sample": False}),
        (Sampling("the", max_new_tokens=2, seed=3, top_p=0.5), {"do_sample": False}),
        (
            Sampling("the", max_new_tokens=2, temperature=0.5, top_p=1.0, stop=("x", "y")),
            {"do_sample": True, "temperature": 0.5, "stop": ["x", "y"]},
        ),
        (
            Sampling("the", max_new_tokens=2, temperature=2.0, top_p=0.5, seed=3),
            {"do_sample": True, "temperature": 2.0, "top_p": 0.5, "seed": 3},
        ),
    ],
)
async def test_streams_always_say_whether_they_sample(sampling, expected, teachers, control):
    teacher = await teachers.open()
    await drain(teacher.generate(sampling))
    (body,) = bodies(control, "/")
    fixed = {"details": True, "max_new_tokens": 2}
    assert body == {"inputs": "the", "stream": True, "parameters": {**fixed, **expected}}


async def test_tgis_defaults_are_a_trap(teachers, toy_server, control, hub):
    """Without parameters it samples, with empty ones it does not: the double does as TGI does."""
    expected = "".join(s.text for s in continued(ToyModel("toy/one"), encode(PROMPT), Settings(8)) if not s.special)
    assert await hub.text_generation(PROMPT, max_new_tokens=8) == expected
    session = await hub._get_async_client()
    limited = {"inputs": PROMPT, "parameters": {"max_new_tokens": 8}}
    greedy = await session.post(f"{toy_server.url}/generate", json=limited)
    assert greedy.json()["generated_text"] == expected
    sampled = {
        (await session.post(f"{toy_server.url}/generate", json={"inputs": PROMPT})).json()["generated_text"]
        for _ in range(3)
    }
    assert len(sampled) > 1


async def test_hugging_faces_client_reads_the_double(hub, control):
    control(prefill_logprobs=True)
    grammar = {"type": "regex", "value": "( yes| no)"}
    answer = await hub.text_generation(
        PROMPT, details=True, decoder_input_details=True, top_n_tokens=2, grammar=grammar, max_new_tokens=1
    )
    assert answer.generated_text in (" yes", " no")
    assert answer.details.prefill[0].logprob is None
    assert len(answer.details.prefill) == len(encode(PROMPT))
    listed = [token["logprob"] for token in answer.details.top_tokens[0]]
    assert sum(map(math.exp, listed)) == pytest.approx(1, abs=0.01)
    chat = await hub.chat_completion([{"role": "user", "content": "the cat"}], model="tgi", max_tokens=4, seed=0)
    assert chat.choices[0].message.content


@pytest.mark.parametrize(
    ("switches", "parameters", "error", "words"),
    [
        ({}, {"top_n_tokens": 6}, ValidationError, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
        ({}, {"top_p": 1.0}, ValidationError, "`top_p` must be > 0.0 and < 1.0"),
        ({}, {"temperature": 0.0}, ValidationError, "`temperature` must be strictly positive"),
        ({}, {"best_of": 2, "seed": 1, "do_sample": True}, ValidationError, "`seed` must not be set"),
        ({}, {"stop": list("abcde")}, ValidationError, "`stop` supports up to 4 stop sequences. Given: 5"),
        ({"grammar": False}, {"grammar": {"type": "regex", "value": "(a|b)"}}, ValidationError, "not supported"),
        ({"max_concurrent_requests": 0}, {}, OverloadedError, "Model is overloaded"),
        ({"poison": "cat"}, {}, GenerationError, "Request failed during generation"),
    ],
)
async def test_the_doubles_errors_are_tgis(switches, parameters, error, words, hub, control):
    control(**switches)
    with pytest.raises(error, match=re.escape(words)):
        await hub.text_generation(PROMPT, max_new_tokens=2, **parameters)


async def test_info_and_health_are_tgis(toy_server, hub):
    session = await hub._get_async_client()
    info = (await session.get(f"{toy_server.url}/info")).json()
    assert {"model_id", "model_sha", "max_concurrent_requests", "max_stop_sequences"} <= info.keys()
    assert "max_top_n_tokens" not in info
    health = await session.get(f"{toy_server.url}/health")
    assert (health.status_code, health.content) == (200, b"")
    tokens = (await session.post(f"{toy_server.url}/tokenize", json={"inputs": "the cat"})).json()
    assert [token["text"] for token in tokens] == ["", "t", "h", "e", " cat"]
    broken = await session.post(
        f"{toy_server.url}/generate", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert broken.status_code == 400
    with pytest.raises(json.JSONDecodeError):
        broken.json()
