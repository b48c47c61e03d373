"""The `/v1` routes of the OpenAI interface, as vLLM and others serve them.

Texts are scored by `echo` with `logprobs`, which vLLM has and others may not. Tokens are told
apart by their text, as the interface shows no ids. Log-probabilities are the model's own only
where the server computes them before its own default penalties and truncations (vLLM does).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any, ClassVar

import httpx2
from pydantic import BaseModel

from w2s.errors import InvalidArgument, NotFound
from w2s.models.inputs import FinishReason, Sampling
from w2s_supervisor.backends.text_generation.client import Client, Event, Give
from w2s_supervisor.backends.text_generation.failures import Lacks, Refused
from w2s_supervisor.backends.text_generation.server import Facts, Key, Listing, Token
from w2s_supervisor.spec import TextGenerationApi

# vLLM's -inf, which JSON cannot hold.
_LEAST = -9999.0


class _Card(BaseModel):
    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class _Cards(BaseModel):
    data: list[_Card]


class _Logprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(BaseModel):
    text: str = ""
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class OpenAiServer:
    """A server of the OpenAI interface; see `TextServer`.

    Args:
        client: Speaks with it; an address that ends with `/v1` is as good as one without.
        model: The model's name; the server's only one when empty.
        field: The request field to name when the model is not found.
    """

    api: ClassVar = TextGenerationApi.OPENAI
    listing_flag: ClassVar = "--max-logprobs"

    def __init__(self, client: Client, model: str, field: str) -> None:
        self._client = client
        self._routes = "" if client.url.endswith("/v1") else "/v1"
        self._wanted = model
        self._model = model
        self._field = field
        self.host = client.host

    async def who(self) -> Facts:
        """As `TextServer.who`, from `/v1/models`.

        Raises:
            InvalidArgument: The server has several models and none is named.
            NotFound: It does not have the one that is named.
        """
        cards = await self._client.get(f"{self._routes}/models", lambda r: _Cards.model_validate(r.json()).data)
        card = self._chosen({card.id: card for card in cards})
        # Once asked, always asked for by that name: another model's answers never pass for its own.
        self._model = self._model or card.id
        said = {"model": card.id, "root": card.root, "parent": card.parent, "max_model_len": card.max_model_len}
        return Facts(card.id, said)

    async def keys(self, text: str) -> list[Key]:
        """As `TextServer.keys`."""
        return [token.key for token in await self.read(text)]

    async def read(self, text: str) -> list[Token]:
        """As `TextServer.read`."""
        completion = await self._complete(text, echo=True, logprobs=1)
        logprobs, usage = completion.choices[0].logprobs, completion.usage
        # A server that does not know `echo` has the one token that it generated.
        if logprobs is None or usage is None or len(logprobs.tokens) != usage.prompt_tokens + usage.completion_tokens:
            raise Lacks(f"{self.host} does not give log-probabilities of given texts (echo with logprobs)")
        values = zip(logprobs.tokens, logprobs.token_logprobs, strict=True)
        return [_token(token, value) for token, value in values][: usage.prompt_tokens]

    async def probable(self, prompt: str, count: int, answers: Sequence[str] = ()) -> Listing:
        """As `TextServer.probable`."""
        if answers:
            raise Lacks(f"{self.host} has no grammars that log-probabilities are counted in; TGI's own interface has")
        completion = await self._complete(prompt, logprobs=count)
        logprobs = completion.choices[0].logprobs
        if logprobs is None or not logprobs.top_logprobs or not logprobs.top_logprobs[0]:
            raise Lacks(f"{self.host} does not list probable tokens (logprobs)")
        tokens = [_token(text, value) for text, value in logprobs.top_logprobs[0].items()]
        return Listing(tokens, completion.usage.prompt_tokens if completion.usage else 0)

    async def stream(self, sampling: Sampling, seed: int | None, give: Give) -> None:
        """As `TextServer.stream`."""
        await self._client.stream(lambda: self._events(sampling, seed), give, sampling.prompt)

    def _chosen(self, cards: dict[str, _Card]) -> _Card:
        names = ", ".join(sorted(cards)) or "none"
        if self._wanted and self._wanted not in cards:
            raise NotFound(f"{self.host} has no model {self._wanted}; it has {names}")
        if not self._wanted and len(cards) != 1:
            raise InvalidArgument(self._field, f"must name one of the models of {self.host}: it has {names}")
        return cards[self._wanted] if self._wanted else next(iter(cards.values()))

    async def _complete(self, text: str, **parameters: Any) -> _Completion:
        body = {"model": self._model, "prompt": text, "max_tokens": 1, "temperature": 0, **parameters}
        return await self._client.post(f"{self._routes}/completions", body, _completion, text)

    @contextlib.asynccontextmanager
    async def _events(self, sampling: Sampling, seed: int | None) -> AsyncIterator[AsyncIterator[Event]]:
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": sampling.prompt,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        body |= {} if seed is None else {"seed": seed}
        body |= {"stop": list(sampling.stop)} if sampling.stop else {}
        url = f"{self._client.url}{self._routes}/completions"
        async with self._client.http.sse(url, method="POST", json=body) as source:
            yield _translated(source, stops=bool(sampling.stop))


async def _translated(source: AsyncIterable[httpx2.ServerSentEvent], *, stops: bool) -> AsyncIterator[Event]:
    """Events of chunks. The ending one waits for the usage that comes after it.

    A chunk counts as one token until the usage says how many there were in all.
    """
    finish: FinishReason | None = None
    text, counted, total = "", 0, 0
    async for sent in source:
        if sent.data == "[DONE]":
            break
        chunk = _chunk(sent.data)
        if chunk.usage is not None:
            total = chunk.usage.completion_tokens
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                finish, text = _finish(choice, stops=stops), choice.text
            elif choice.text:
                counted += 1
                yield Event(choice.text, 1)
    if finish is not None:
        yield Event(text, max(0, total - counted), finish)


def _chunk(data: str) -> _Completion:
    content = json.loads(data)
    error = content.get("error")
    if error is None:
        return _Completion.model_validate(content)
    code = error.get("code") if isinstance(error, dict) else None
    raise Refused(code if isinstance(code, int) else 500, data.encode())


def _finish(choice: _Choice, *, stops: bool) -> FinishReason:
    if choice.finish_reason == "length":
        return "length"
    # vLLM says which stop text it was, and for the model's own end nothing or a token's id.
    # Of servers that say neither, one that was given stop texts is taken to have met one.
    if "stop_reason" in choice.model_fields_set:
        return "stop" if isinstance(choice.stop_reason, str) else "eos"
    return "stop" if stops else "eos"


def _completion(response: httpx2.Response) -> _Completion:
    completion = _Completion.model_validate(response.json())
    if not completion.choices:
        raise ValueError("no choices")
    return completion


def _token(text: str, value: float | None) -> Token:
    return Token(text, text, float("-inf") if value is not None and value <= _LEAST else value)
