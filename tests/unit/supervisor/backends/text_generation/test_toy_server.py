"""TGI's double answers as TGI does, asked by Hugging Face's client, and by plain HTTP where that does not reach."""

from __future__ import annotations

import json
import math
import re

import httpx
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import HfHubHTTPError, TextGenerationError
from support.text_generation.decoding import Settings, continued
from support.text_generation.language import ToyModel, encode

MODEL = ToyModel("toy/one")
PROMPT = "Question: the cat Answer:"
TURNS = [{"role": "user", "content": "the cat"}]
# The turns, one below the other.
CHAT_PROMPT = "user: the cat"


@pytest.fixture
async def hub(toy_server, control):
    """Hugging Face's client as users have it."""
    async with AsyncInferenceClient(base_url=toy_server.url, api_key="x") as client:
        yield client


@pytest.fixture
async def http(toy_server, control):
    async with httpx.AsyncClient(base_url=toy_server.url) as client:
        yield client


def greedy(prompt, limit):
    """What the model says, token by token, without the tokens that are no text."""
    return [step.text for step in continued(MODEL, encode(prompt), Settings(limit)) if not step.special]


def validation(message):
    return {"error": f"Input validation error: {message}", "error_type": "validation"}


async def generated(http, route="/generate", **parameters):
    limited = {"max_new_tokens": 4, **parameters}
    return await http.post(route, json={"inputs": PROMPT, "parameters": limited})


def events(response):
    """The stream's events as JSON, and how often a line is something else."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n") if line]
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:{")]


async def test_chat_answers_greedily_at_temperature_0(hub):
    answer = await hub.chat_completion(TURNS, model="tgi", max_tokens=4, temperature=0)
    (choice,) = answer.choices
    assert choice.message.content == "".join(greedy(CHAT_PROMPT, 4))
    assert (choice.message.role, choice.finish_reason, choice.logprobs) == ("assistant", "length", None)
    prompt = len(encode(CHAT_PROMPT))
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (prompt, 4)
    assert (answer.id, answer.model, answer.system_fingerprint) == ("", "toy/one", "3.3.7-native")


async def test_chat_samples_unless_told_otherwise(hub):
    said = {(await hub.chat_completion(TURNS, model="tgi", max_tokens=8)).choices[0].message.content for _ in range(3)}
    assert len(said) > 1


async def test_chats_log_probabilities_are_the_models_own(hub):
    answer = await hub.chat_completion(TURNS, model="tgi", max_tokens=2, temperature=0, logprobs=True, top_logprobs=3)
    first, second = answer.choices[0].logprobs.content
    values = MODEL.log_probabilities(encode(CHAT_PROMPT))
    assert [top.logprob for top in first.top_logprobs] == pytest.approx(sorted(values, reverse=True)[:3], abs=1e-5)
    assert first.logprob == pytest.approx(max(values), abs=1e-5)
    assert [first.token, second.token] == greedy(CHAT_PROMPT, 2)
    assert (second.top_logprobs[0].token, len(second.top_logprobs)) == (second.token, 3)


async def test_chat_streams_chunks_and_says_when_it_is_done(hub, http):
    body = {"messages": TURNS, "model": "tgi", "max_tokens": 3, "temperature": 0, "logprobs": True}
    sent = await http.post("/v1/chat/completions", json={**body, "stream": True})
    assert sent.text.endswith("data: [DONE]\n\n")
    chunks = events(sent)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == greedy(CHAT_PROMPT, 3)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "length"]
    assert all(chunk["choices"][0]["logprobs"]["content"][0]["logprob"] < 0 for chunk in chunks)
    usage = {"include_usage": True}
    streamed = await hub.chat_completion(
        TURNS, model="tgi", max_tokens=3, temperature=0, stream=True, stream_options=usage
    )
    read = [chunk async for chunk in streamed]
    assert [chunk.choices[0].delta.content for chunk in read[:-1]] == greedy(CHAT_PROMPT, 3)
    assert (read[-1].choices, read[-1].usage.completion_tokens) == ([], 3)


@pytest.mark.parametrize(
    ("switches", "fields", "status", "error", "kind"),
    [
        ({}, {"model": "toy/one"}, 404, "The adapter `toy/one` does not exist", "not_found"),
        ({}, {"top_logprobs": 6}, 422, "`top_n_tokens` must be >= 0 and <= 5. Given: 6", "validation"),
        ({"max_top_n_tokens": 2}, {"top_logprobs": 3}, 422, "must be >= 0 and <= 2. Given: 3", "validation"),
        ({}, {"top_p": 1.0}, 422, "`top_p` must be > 0.0 and < 1.0", "validation"),
        ({}, {"messages": []}, 422, "`inputs` cannot be empty", "validation"),
        ({}, {"max_tokens": 5000}, 422, "`inputs` tokens + `max_new_tokens` must be <= 2046", "validation"),
        ({"max_concurrent_requests": 0}, {}, 429, "Model is overloaded", "overloaded"),
        ({"poison": "cat"}, {}, 424, "Request failed during generation", "generation"),
        ({"fail_count": 1}, {}, 500, "told to fail", "incomplete_generation"),
    ],
)
async def test_chats_errors_have_their_status(switches, fields, status, error, kind, http, control):
    control(**switches)
    body = {"messages": TURNS, "model": "tgi", "max_tokens": 2, **fields}
    refused = await http.post("/v1/chat/completions", json=body)
    assert (refused.status_code, refused.json()["error_type"]) == (status, kind)
    assert error in refused.json()["error"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[]", 422), (b"{}", 422), (b'{"messages": 1}', 422), (b'{"messages": [{"role": "user"}]}', 422)],
)
async def test_a_chat_that_cannot_be_read_is_refused_in_plain_text(content, status, http):
    refused = await http.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.headers["content-type"]) == (status, "text/plain; charset=utf-8")


async def test_a_chat_streams_its_errors(hub, http, control):
    control(max_concurrent_requests=0)
    body = {"messages": TURNS, "model": "tgi", "stream": True}
    sent = await http.post("/v1/chat/completions", json=body)
    assert sent.status_code == 200
    assert events(sent) == [{"error": {"message": "Model is overloaded", "http_status_code": 422}}]
    with pytest.raises(TextGenerationError, match="Model is overloaded"):
        [chunk async for chunk in await hub.chat_completion(TURNS, model="tgi", stream=True)]


async def test_the_client_must_name_the_model_tgi(hub):
    with pytest.raises(HfHubHTTPError) as caught:
        await hub.chat_completion(TURNS, max_tokens=2)
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_generate_stream_tells_the_rest_with_the_last_token(keep_alive, http, control):
    control(keep_alive=keep_alive)
    sent = await generated(http, "/generate_stream", top_n_tokens=2)
    assert ("\n:keep-alive\n" in sent.text, "[DONE]" in sent.text) == (keep_alive, False)
    told = events(sent)
    assert [event["index"] for event in told] == [1, 2, 3, 4]
    assert [event["token"]["text"] for event in told] == greedy(PROMPT, 4)
    assert all(event["top_tokens"][0] == event["token"] and len(event["top_tokens"]) == 2 for event in told)
    assert [event["details"] for event in told[:-1]] == [None] * 3
    ending = {"finish_reason": "length", "generated_tokens": 4, "seed": None, "input_length": len(encode(PROMPT))}
    assert (told[-1]["details"], told[-1]["generated_text"]) == (ending, "".join(greedy(PROMPT, 4)))
    (bare, *_) = events(await generated(http, "/generate_stream"))
    assert "top_tokens" not in bare


@pytest.mark.parametrize(
    ("route", "parameters", "message"),
    [
        ("/generate", {"best_of": 2}, "you must use sampling when `best_of` is > 1"),
        ("/generate", {"best_of": 2, "do_sample": True, "seed": 1}, "`seed` must not be set when `best_of` > 1"),
        ("/generate", {"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
        ("/generate", {"best_of": 0}, "`best_of` must be > 0 and <= 2. Given: 0"),
        ("/generate_stream", {"best_of": 2}, "`best_of` != 1 is not supported when streaming tokens"),
        (
            "/generate_stream",
            {"decoder_input_details": True},
            "`decoder_input_details` == true is not supported when streaming tokens",
        ),
        *(("/generate", {"top_p": value}, "`top_p` must be > 0.0 and < 1.0") for value in (0.0, 1.0, -0.5)),
        *(("/generate", {"typical_p": value}, "`typical_p` must be > 0.0 and < 1.0") for value in (0.0, 1.0)),
        *(("/generate", {"top_k": value}, "`top_k` must be strictly positive") for value in (0, -1)),
        ("/generate", {"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ],
)
async def test_the_router_says_what_it_does_not_let_pass(route, parameters, message, http):
    refused = await generated(http, route, **parameters)
    streamed = route == "/generate_stream"
    assert (refused.status_code, events(refused)[0] if streamed else refused.json()) == (
        200 if streamed else 422,
        validation(message),
    )


async def test_values_inside_the_bounds_pass(http):
    assert (await generated(http, top_p=0.99, typical_p=0.01, top_k=1)).status_code == 200
    # Only the most probable token is left to be drawn.
    assert (await generated(http, top_k=1)).json()["generated_text"] == "".join(greedy(PROMPT, 4))


async def test_the_best_of_2_comes_first_and_the_other_with_the_details(hub):
    answer = await hub.text_generation(PROMPT, best_of=2, do_sample=True, details=True, max_new_tokens=4)
    (other,) = answer.details.best_of_sequences
    best, worse = (sum(token.logprob for token in part.tokens) / len(part.tokens) for part in (answer.details, other))
    assert best >= worse
    assert math.isfinite(worse)
    assert other.generated_text == "".join(token.text for token in other.tokens if not token.special)


async def test_metrics_count_what_was_asked_for(http, control):
    for parameters in ({}, {}, {"top_k": 0}):
        await generated(http, **parameters)
    control(poison="cat")
    await generated(http, "/generate_stream")
    control(poison="", max_concurrent_requests=0)
    await generated(http)
    # Not by Prometheus' own parser, which makes every counter's name end with `_total`.
    told = (await http.get("/metrics")).text.splitlines()
    found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in told if line[0] != "#")}
    assert found.pop("tgi_request_duration_sum") > 0
    assert found == {
        "tgi_request_count": 5,
        "tgi_request_success": 2,
        'tgi_request_failure{err="validation"}': 1,
        'tgi_request_failure{err="generation"}': 1,
        'tgi_request_failure{err="overloaded"}': 1,
        "tgi_queue_size": 0,
        "tgi_batch_current_size": 0,
        'tgi_request_duration_bucket{le="+Inf"}': 2,
        "tgi_request_duration_count": 2,
        'tgi_request_queue_duration_bucket{le="+Inf"}': 2,
        "tgi_request_queue_duration_sum": 0,
        "tgi_request_queue_duration_count": 2,
    }


async def test_the_errors_words_reach_the_clients_users(hub):
    with pytest.raises(TextGenerationError, match=re.escape("`typical_p` must be > 0.0 and < 1.0")):
        await hub.text_generation(PROMPT, typical_p=1.0)
