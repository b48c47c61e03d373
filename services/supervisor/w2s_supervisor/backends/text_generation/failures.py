"""What goes wrong with a text-generation server, as the errors that callers know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import httpx2

from w2s.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    W2SError,
)

Kind = Literal["overloaded", "generation", "validation", "timeout", "connection", "protocol", "credential", "refused"]

_TRIES = 4
_TRIES_UNREADABLE = 2
_SHOWN = 200
_GIVES_AWAY = 12


class RowError(Exception):
    """An error of one question; the others that were asked with it have their answers.

    Args:
        error: What is in the answer's place.
    """

    def __init__(self, error: W2SError) -> None:
        super().__init__(error.message)
        self.error = error


class Lacks(FailedPrecondition):
    """The server does not have what it was asked for; others, or the same one launched otherwise, may."""


class Refused(Exception):
    """The server answered with another status than success, or with an error in a stream."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class CutOff(Exception):
    """A stream ended before it said why."""


class Unreadable(Exception):
    """The answer is in a form, or of a size, that is not read."""


@dataclass(frozen=True)
class Failure:
    """One attempt that failed.

    Attributes:
        error: What to raise when no other attempt is made.
        kind: What it is counted as.
        tries: How many attempts such a failure is worth in all.
    """

    error: W2SError | RowError
    kind: Kind
    tries: int = 1


def diagnose(error: Exception, host: str, secrets: Sequence[str]) -> Failure:
    """Says what an attempt's exception means.

    Args:
        error: The exception, raised by HTTP or by reading the answer.
        host: The server's name, for messages.
        secrets: Texts that no message may quote: the prompt, the token.
    """
    if isinstance(error, Refused):
        return _refusal(error, host, secrets)
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return Failure(DeadlineExceeded(f"{host} did not answer within the teacher's timeout_s"), "timeout")
    if isinstance(error, httpx2.SSEError | httpx2.DecodingError | Unreadable) or not isinstance(
        error, httpx2.TransportError | CutOff
    ):
        unreadable = RowError(Internal(f"{host}: the server's answer cannot be read"))
        return Failure(unreadable, "protocol", _TRIES_UNREADABLE)
    cause = type(error).__name__
    return Failure(Unavailable(f"{host} cannot be reached, or broke off ({cause})"), "connection", _TRIES)


def midway(failure: Failure, host: str) -> Failure:
    """The same failure once part of a stream was given out: it is final."""
    if failure.kind in ("connection", "protocol"):
        return Failure(Unavailable(f"{host} broke off in the middle of its answer"), failure.kind)
    return Failure(failure.error, failure.kind)


def _refusal(refused: Refused, host: str, secrets: Sequence[str]) -> Failure:
    status = refused.status
    if status in (400, 413, 422):
        problem = "it is too large" if status == 413 else _told(refused.body, secrets)
        return Failure(RowError(InvalidArgument("prompt", f"{host} refuses it: {problem}")), "validation")
    if status == 429:
        return Failure(ResourceExhausted(f"{host} is overloaded"), "overloaded", _TRIES)
    if status in (424, 500):
        return Failure(RowError(Unavailable(f"{host} failed to answer ({status})")), "generation", _TRIES)
    if status > 500:
        return Failure(Unavailable(f"{host} is not ready ({status})"), "connection", _TRIES)
    return _misuse(status, host)


def _misuse(status: int, host: str) -> Failure:
    if status in (401, 403):
        fix = "put a bearer token that opens it into the file that the teacher's credential names"
        return Failure(FailedPrecondition(f"{host} refuses the credential ({status}): {fix}"), "credential")
    if status in (404, 405):
        return Failure(Lacks(f"{host} has no such route or model ({status})"), "refused")
    if 300 <= status < 400:
        fix = "register a teacher with the address that it leads to"
        return Failure(FailedPrecondition(f"{host} redirects, which is not followed: {fix}"), "refused")
    return Failure(FailedPrecondition(f"{host} refuses the request ({status})"), "refused")


def _told(body: bytes, secrets: Sequence[str]) -> str:
    """The server's own words, unless they quote a secret: some servers send back what they were sent."""
    words = _message(body)[:_SHOWN]
    for secret in filter(None, secrets):
        size = min(_GIVES_AWAY, len(secret))
        if any(words[at : at + size] in secret for at in range(len(words) - size + 1)):
            return "its reason quotes the request and is left out"
    return words or "it gives no reason"


def _message(body: bytes) -> str:
    text = body.decode(errors="replace")
    try:
        content = json.loads(text)
    except ValueError:
        return text
    # TGI: {"error": "..."}; OpenAI: {"error": {"message": "..."}}; older vLLM: {"message": "..."}.
    if isinstance(content, dict):
        content = content.get("error", content)
    if isinstance(content, dict):
        content = content.get("message", "")
    return content if isinstance(content, str) else ""
