"""Text Generation Inference's own routes.

Facts of the router that this relies on: a request without `do_sample` samples when it has no
`parameters` at all; `top_p` 1 and `temperature` 0 are errors; prefill details are an empty list
unless the server was launched with `--enable-prefill-logprobs`; stop texts are part of the text.

Hugging Face's client asks for all but `/info` and `/tokenize`, which it does not reach, and prefill
details, which it holds the event loop ten times as long to read (5 ms for 500 tokens).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

import httpx2
from huggingface_hub import AsyncInferenceClient, TextGenerationInputGrammarType, TextGenerationStreamOutput
from huggingface_hub.errors import GenerationError, OverloadedError, TextGenerationError, ValidationError
from pydantic import BaseModel, TypeAdapter

from w2s.models.inputs import FinishReason, Sampling
from w2s_supervisor.backends.text_generation.client import Client, Event, Give
from w2s_supervisor.backends.text_generation.failures import CutOff, Lacks, Refused
from w2s_supervisor.backends.text_generation.server import Facts, Key, Listing, Token
from w2s_supervisor.spec import TextGenerationApi

_FINISH: dict[str, FinishReason] = {"length": "length", "eos_token": "eos", "stop_sequence": "stop"}
_STATUS = {OverloadedError: 429, ValidationError: 422, GenerationError: 424}
_SPECIAL_IN_REGEX = re.compile(r"[\\.^$*+?{}\[\]|()]")


class _Info(BaseModel):
    model_id: str
    model_sha: str | None = None
    model_dtype: str | None = None
    model_pipeline_tag: str | None = None


class _Token(BaseModel):
    id: int
    text: str
    logprob: float | None = None


_TOKENS = TypeAdapter(list[_Token])
# No temperature, top_k, top_p or penalties: they change the log-probabilities.
_NEXT: dict[str, Any] = {"details": True, "do_sample": False, "max_new_tokens": 1}


class TgiServer:
    """A TGI server; see `TextServer`."""

    api: ClassVar = TextGenerationApi.TGI
    listing_flag: ClassVar = "--max-top-n-tokens"

    def __init__(self, client: Client) -> None:
        self._client = client
        self.host = client.host

    async def who(self) -> Facts:
        """As `TextServer.who`, from `/info`."""
        info = await self._client.get("/info", lambda response: _Info.model_validate(response.json()))
        said: dict[str, str | int | None] = {
            "model": info.model_id,
            "sha": info.model_sha,
            "dtype": info.model_dtype,
            "pipeline_tag": info.model_pipeline_tag,
        }
        return Facts(info.model_sha or info.model_id, said)

    async def keys(self, text: str) -> list[Key]:
        """As `TextServer.keys`, from `/tokenize`."""
        return await self._client.post("/tokenize", {"inputs": text}, _ids, text)

    async def read(self, text: str) -> list[Token]:
        """As `TextServer.read`, from prefill details."""
        body = {"inputs": text, "parameters": {"decoder_input_details": True, **_NEXT}}
        prefill = await self._client.post("/generate", body, _prefill, text)
        if not prefill:
            raise Lacks(
                f"{self.host} does not give log-probabilities of given texts: launch it with --enable-prefill-logprobs"
            )
        return prefill

    async def probable(self, prompt: str, count: int, answers: Sequence[str] = ()) -> Listing:
        """As `TextServer.probable`."""
        grammar = TextGenerationInputGrammarType("regex", _alternatives(answers)) if answers else None

        async def attempt() -> Listing:
            async with _Hub(self._client) as hub:
                with _refusals():
                    # Only streams tell how many tokens the prompt has.
                    sent = await hub.text_generation(prompt, stream=True, top_n_tokens=count, grammar=grammar, **_NEXT)
                    # Read to the end, so that the connection is of use again.
                    events = [event async for event in sent]
            if not events or events[-1].details is None:
                raise CutOff
            return Listing(_tokens(events[0].top_tokens), events[-1].details.input_length)

        return await self._client.ask(attempt, prompt)

    async def stream(self, sampling: Sampling, seed: int | None, give: Give) -> None:
        """As `TextServer.stream`."""
        await self._client.stream(lambda: self._events(sampling, seed), give, sampling.prompt)

    @contextlib.asynccontextmanager
    async def _events(self, sampling: Sampling, seed: int | None) -> AsyncIterator[AsyncIterator[Event]]:
        sampled: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            sampled |= {"temperature": sampling.temperature, "seed": seed}
            sampled |= {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
        async with _Hub(self._client) as hub:
            answers = await hub.text_generation(
                sampling.prompt,
                details=True,
                stream=True,
                max_new_tokens=sampling.max_new_tokens,
                stop=list(sampling.stop) or None,
                **sampled,
            )
            yield _translated(answers)


class _Hub(AsyncInferenceClient):
    """Hugging Face's client over our connections; closing it closes its streams."""

    def __init__(self, client: Client) -> None:
        # Without a token it would look for the user's own; the transport replaces whatever it sends.
        super().__init__(base_url=f"{client.url}/", api_key="unused")
        self._http = client.http

    async def _get_async_client(self) -> httpx2.AsyncClient:
        return self._http


async def _translated(answers: AsyncIterator[TextGenerationStreamOutput]) -> AsyncIterator[Event]:
    with _refusals():
        async for answer in answers:
            finish = _FINISH[answer.details.finish_reason] if answer.details else None
            yield Event("" if answer.token.special else answer.token.text, 1, finish)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Errors that come in a stream, as they are when they come as a status."""
    try:
        yield
    except TextGenerationError as error:
        raise Refused(_STATUS.get(type(error), 500), str(error).encode()) from None


def _ids(response: httpx2.Response) -> list[Key]:
    return [token.id for token in _TOKENS.validate_python(response.json())]


def _prefill(response: httpx2.Response) -> list[Token]:
    return _tokens(response.json()["details"].get("prefill", []))


def _tokens(listed: Any) -> list[Token]:
    return [Token(token.id, token.text, token.logprob) for token in _TOKENS.validate_python(listed)]


def _alternatives(answers: Sequence[str]) -> str:
    return "(" + "|".join(_SPECIAL_IN_REGEX.sub(r"\\\g<0>", answer) for answer in answers) + ")"
