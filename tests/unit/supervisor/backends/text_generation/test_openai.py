from __future__ import annotations

import httpx2
import numpy as np
import pytest

from w2s.errors import InvalidArgument
from w2s.models.inputs import Completion, Row, Sampling
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.backends.text_generation.openai import OpenAiServer, _token, _translated
from w2s_supervisor.spec import ClassMethod


@pytest.fixture
async def teacher(teachers, control, prompt):
    control(api="openai")
    return await teachers.open(prompt=prompt(), class_method=ClassMethod.TOP_TOKENS)


def bodies(control):
    return [request["body"] for request in control()["requests"]]


class Canned:
    """Stands where the client stands, with what some server says of its models."""

    url, host = "http://host:80", "host:80"

    def __init__(self, *ids):
        self._ids = ids

    async def get(self, route, read):
        cards = [{"id": id_, "object": "model", "created": 7} for id_ in self._ids]
        return read(httpx2.Response(200, json={"object": "list", "data": cards}))


async def events(*chunks, stops=False):
    async def source():
        for chunk in chunks:
            yield httpx2.ServerSentEvent(data=chunk)

    return [(event.text, event.tokens, event.finish) async for event in _translated(source(), stops=stops)]


async def test_a_vllm_server_labels_scores_compares_and_generates(teacher, control, log_p, softmax):
    text = "Question: the cat Answer:"
    (label,) = await teacher.label([Row("the cat")], Lane.ONLINE)
    expected = softmax([log_p(text, " yes").sum(), log_p(text, " no").sum()])
    np.testing.assert_allclose(label.probabilities, expected, rtol=1e-4)
    (scored,) = await teacher.score([Completion("the cat", " sat")], Lane.ONLINE)
    np.testing.assert_allclose(scored.token_log_likelihoods, log_p("the cat", " sat"), atol=1e-4)
    pieces = [piece async for piece in teacher.generate(Sampling("the cat", max_new_tokens=3))]
    assert sum(piece.tokens for piece in pieces) == 3


async def test_the_servers_only_model_is_asked_for_by_its_name(teacher, control):
    await teacher.label([Row("the cat")], Lane.ONLINE)
    assert {body["model"] for body in bodies(control)} == {"toy/one"}


async def test_class_requests_are_greedy(teacher, control):
    await teacher.label([Row("the cat")], Lane.ONLINE)
    body = bodies(control)[-1]
    assert (body["temperature"], body["max_tokens"], body["logprobs"]) == (0, 1, 5)


async def test_one_of_several_models_must_be_named():
    with pytest.raises(InvalidArgument, match="it has a, b") as caught:
        await OpenAiServer(Canned("b", "a"), "", "spec.model").who()
    assert caught.value.field == "spec.model"
    facts = await OpenAiServer(Canned("b", "a"), "b", "spec.model").who()
    assert facts.revision == "b"
    assert "created" not in facts.said


def test_vllms_least_log_probability_stands_for_none():
    assert _token("a", -9999.0).log_probability == float("-inf")
    assert _token("a", -9998.0).log_probability == -9998.0
    assert _token("a", None).log_probability is None


@pytest.mark.parametrize(
    ("choice", "stops", "expected"),
    [
        ('"finish_reason": "length", "stop_reason": null', True, "length"),
        ('"finish_reason": "stop", "stop_reason": null', True, "eos"),
        ('"finish_reason": "stop", "stop_reason": 128009', True, "eos"),
        ('"finish_reason": "stop", "stop_reason": "x"', True, "stop"),
        ('"finish_reason": "stop"', True, "stop"),
        ('"finish_reason": "stop"', False, "eos"),
    ],
)
async def test_why_a_stream_ends_is_told_as_far_as_the_server_says(choice, stops, expected):
    found = await events(f'{{"choices": [{{"text": "a", {choice}}}]}}', "[DONE]", stops=stops)
    assert found == [("a", 0, expected)]


async def test_tokens_are_those_of_the_usage():
    more = '{"choices": [{"text": "a", "finish_reason": null}]}'
    silent = '{"choices": [{"text": "", "finish_reason": null}]}'
    last = '{"choices": [{"text": "b", "finish_reason": "length"}]}'
    usage = '{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}'
    found = await events(more, silent, last, usage, "[DONE]")
    assert found == [("a", 1, None), ("b", 4, "length")]
