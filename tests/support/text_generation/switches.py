"""What a test can make the server do, and what the server has seen."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fastapi import Request

_KEPT = 1000
_POLL_S = 0.01


class CallerGone(Exception):
    """Nobody waits for the answer any more."""


class Refused(Exception):
    """A request that gets an error for an answer, whose kind is one of TGI's, or `not_found`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Switches:
    """The server's behaviour; a test sets these over `/control`.

    Attributes:
        model: The model's id; another id is another model.
        api: `tgi` serves TGI's routes and `openai` only the `/v1` ones, as vLLM does.
        prefill_logprobs: TGI: read log-probabilities of given texts.
        prefill_bare: TGI: read given texts without the token that begins every text.
        grammar: TGI: support grammars.
        grammar_ignored: TGI: take grammars and do as without.
        echo: OpenAI: support `echo` with `logprobs`.
        max_top_n_tokens: Most probable tokens listed at most.
        max_concurrent_requests: Requests at once; one more is refused, not queued.
        max_input_tokens: Tokens a prompt may have.
        payload_limit: Bytes a request may have.
        api_key: The bearer token that opens the POST routes; none is asked for when empty.
        redirect: Where every request is sent on to.
        latency_s: Seconds before an answer, and before each token of a stream.
        keep_alive: Send a comment before each event of a stream.
        fail_status: The status that the next `fail_count` POST requests fail with.
        fail_count: How many.
        poison: Requests whose text holds this fail with 424.
        reset_count: How many of the next requests have their connection reset.
        truncated_count: How many of the next answers are cut in half.
        padding: Bytes of nonsense in each answer.
        stream_error: The type of the error event that ends every stream after `stream_events`.
        stream_cut: How streams end after `stream_events`, before they are done: `abort` breaks the
            connection and `end` ends the answer as if it were whole.
        stream_events: How many events come first.
        missing_logprob: The token whose log-probability is null in every answer.
    """

    model: str = "toy/one"
    api: str = "tgi"
    prefill_logprobs: bool = False
    prefill_bare: bool = False
    grammar: bool = True
    grammar_ignored: bool = False
    echo: bool = True
    max_top_n_tokens: int = 5
    max_concurrent_requests: int = 128
    max_input_tokens: int = 1023
    payload_limit: int = 2_000_000
    api_key: str = ""
    redirect: str = ""
    latency_s: float = 0.0
    keep_alive: bool = False
    fail_status: int = 500
    fail_count: int = 0
    poison: str = ""
    reset_count: int = 0
    truncated_count: int = 0
    padding: int = 0
    stream_error: str = ""
    stream_cut: str = ""
    stream_events: int = 0
    missing_logprob: str = ""

    def spend(self, name: str) -> bool:
        """Whether a counter was above zero; it is one less now."""
        left = getattr(self, name)
        setattr(self, name, max(0, left - 1))
        return bool(left > 0)


@dataclass
class Journal:
    """What the server has seen.

    Attributes:
        requests: Each POST: its path, its body as JSON and its Authorization header.
        asked: How often each path was asked for.
        in_flight: Generation requests at this moment.
        most_in_flight: The most there were at once.
        asked_for: Generation requests so far.
        durations_s: Seconds that each took that was answered to its end.
        failures: How many of them failed, by the kind of error.
        aborted: Generation requests whose caller went away.
        peers: The far ends of the connections that were opened.
    """

    requests: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    most_in_flight: int = 0
    asked_for: int = 0
    durations_s: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    aborted: int = 0
    peers: list[str] = field(default_factory=list)


class State:
    """The switches and the journal of one server."""

    def __init__(self) -> None:
        self.switches = Switches()
        self.journal = Journal()

    def set(self, values: dict[str, Any]) -> None:
        """Sets switches; with `fresh`, from their defaults and with an empty journal.

        Raises:
            KeyError: There is no such switch.
        """
        if values.pop("fresh", False):
            self.switches, self.journal = Switches(), Journal(in_flight=self.journal.in_flight)
        known = {switch.name for switch in fields(Switches)}
        for name, value in values.items():
            if name not in known:
                raise KeyError(name)
            setattr(self.switches, name, value)

    def seen(self) -> dict[str, Any]:
        """The journal as JSON."""
        return asdict(self.journal)

    def arrived(self, path: str, peer: str) -> None:
        """Writes down that a path was asked for."""
        self.journal.asked[path] = self.journal.asked.get(path, 0) + 1
        if peer not in self.journal.peers:
            self.journal.peers.append(peer)

    def note(self, path: str, body: Any, authorization: str) -> None:
        """Writes down a POST request."""
        self.journal.requests.append({"path": path, "body": body, "authorization": authorization})
        del self.journal.requests[:-_KEPT]

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Holds one of the places for requests, and writes down how the request ends.

        Raises:
            Refused: There is none left; nothing waits for one.
        """
        self.journal.asked_for += 1
        begun, entered = time.monotonic(), self.journal.in_flight < self.switches.max_concurrent_requests
        self.journal.in_flight += entered
        self.journal.most_in_flight = max(self.journal.most_in_flight, self.journal.in_flight)
        try:
            if not entered:
                raise Refused("Model is overloaded", "overloaded")
            yield
            self.journal.durations_s.append(time.monotonic() - begun)
        except Refused as error:
            self.journal.failures[error.kind] = self.journal.failures.get(error.kind, 0) + 1
            raise
        except ConnectionAbortedError:
            raise
        except BaseException:
            self.journal.aborted += 1
            raise
        finally:
            self.journal.in_flight -= entered

    async def wait(self, request: Request) -> None:
        """Takes the time that an answer, or a token of a stream, takes.

        Raises:
            CallerGone: The caller has closed the connection meanwhile.
        """
        end = time.monotonic() + self.switches.latency_s
        while (left := end - time.monotonic()) > 0:
            if await request.is_disconnected():
                raise CallerGone
            await asyncio.sleep(min(left, _POLL_S))
