from __future__ import annotations

import json

import pytest

from w2s.errors import InvalidArgument
from w2s_supervisor.backends.text_generation.failures import Refused, RowError, diagnose

PROMPT = 'Is this good?\nA "quoted" film, quite good.\nAnswer:'
TOKEN = "hf_not_for_any_log"


def problem(content, secrets=(PROMPT, TOKEN)):
    """What a caller is told of a refusal with that JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    failure = diagnose(Refused(422, body), "host:80", secrets)
    assert isinstance(failure.error, RowError)
    assert isinstance(failure.error.error, InvalidArgument)
    return failure.error.error.problem


@pytest.mark.parametrize(
    "content",
    [
        {"error": "`inputs` must have less than 10 tokens. Given: 12", "error_type": "validation"},
        {"error": {"message": "`inputs` must have less than 10 tokens. Given: 12", "type": "x", "code": 400}},
        {"object": "error", "message": "`inputs` must have less than 10 tokens. Given: 12"},
        b"`inputs` must have less than 10 tokens. Given: 12",
    ],
)
def test_the_servers_reason_is_told(content):
    assert problem(content) == "host:80 refuses it: `inputs` must have less than 10 tokens. Given: 12"


@pytest.mark.parametrize(
    "words",
    [
        f"cannot read {PROMPT}",
        "input_value='Is this good?\\nA...', input_type=str",
        "Authorization: Bearer hf_not_for_any_log",
    ],
)
def test_a_reason_that_quotes_the_request_is_left_out(words):
    told = problem({"error": words})
    assert told == "host:80 refuses it: its reason quotes the request and is left out"


def test_a_short_prompt_is_no_reason_to_quote_it():
    assert "left out" in problem({"error": "cannot read hush"}, secrets=("hush", ""))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"error": null}', b'{"error": {"message": 3}}', b"\xff" * 3])
def test_any_body_gives_a_message(content):
    assert problem(content).startswith("host:80 refuses it: ")


def test_a_long_reason_is_cut():
    assert len(problem({"error": "y" * 10_000})) < 300
