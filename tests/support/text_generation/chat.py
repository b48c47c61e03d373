"""TGI's chat route: the turns one below the other are the prompt of an ordinary request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from support.text_generation.checks import Generate, Parameters, error_response, parsed
from support.text_generation.language import encode
from support.text_generation.streams import sse
from support.text_generation.switches import CallerGone, Refused, State
from support.text_generation.tgi import Tgi


class Turn(BaseModel):
    role: str
    content: str


class StreamOptions(BaseModel):
    include_usage: bool = False


class Chat(BaseModel):
    """As in the API; what is not here the toy model knows nothing of."""

    model: str | None = None
    messages: list[Turn]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**64)
    stop: list[str] | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0)
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def generate(self) -> Generate:
        """The request that TGI makes of it: greedy at temperature 0, which it does not pass on, sampled at others."""
        parameters = Parameters(
            do_sample=self.temperature != 0,
            temperature=self.temperature or None,
            top_p=self.top_p,
            max_new_tokens=self.max_tokens,
            seed=self.seed,
            stop=self.stop or [],
            top_n_tokens=self.top_logprobs,
            details=True,
        )
        return Generate(
            inputs="\n".join(f"{turn.role}: {turn.content}" for turn in self.messages), parameters=parameters
        )


def routes(state: State) -> APIRouter:
    """The chat route over the toy model."""
    router = APIRouter()
    router.post("/v1/chat/completions")(TgiChat(state).completions)
    return router


class TgiChat:
    """Answers for the route."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tgi = Tgi(state)

    async def completions(self, request: Request) -> Response:
        """A stream of chunks, or one answer."""
        body = await parsed(request, Chat)
        if isinstance(body, Response):
            return body
        try:
            self._check_model(body)
            if body.stream:
                return sse(self._state, self._chunks(body, request), _error_body, b"data: [DONE]\n\n")
            return JSONResponse(self._whole(body, await self._tgi.answer(body.generate, request)))
        except Refused as error:
            return error_response(error)
        except CallerGone:
            return Response(status_code=499)

    def _check_model(self, body: Chat) -> None:
        # TGI takes any name but its own for an adapter's, the served model's too.
        known = "tgi" if self._state.switches.api == "tgi" else self._state.switches.model
        if body.model not in (None, known):
            raise Refused(f"The adapter `{body.model}` does not exist", "not_found")

    def _whole(self, body: Chat, answer: dict[str, Any]) -> dict[str, Any]:
        details = answer["details"]
        listed = details.get("top_tokens", [[]] * len(details["tokens"]))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer["generated_text"]},
            "logprobs": _logprobs(details["tokens"], listed) if body.logprobs else None,
            "finish_reason": _finish(details["finish_reason"]),
        }
        usage = _usage(len(encode(body.generate.inputs)), details["generated_tokens"])
        return {**self._frame("chat.completion"), "choices": [choice], "usage": usage}

    async def _chunks(self, body: Chat, request: Request) -> AsyncGenerator[dict[str, Any], None]:
        frame = self._frame("chat.completion.chunk")
        async for event in self._tgi.events(body.generate, request):
            token, details = event["token"], event["details"]
            choice = {
                "index": 0,
                "delta": {"role": "assistant", "content": "" if token["special"] else token["text"]},
                "logprobs": _logprobs([token], [event.get("top_tokens", [])]) if body.logprobs else None,
                "finish_reason": _finish(details["finish_reason"]) if details else None,
            }
            yield {**frame, "choices": [choice], "usage": None}
            if details and body.stream_options and body.stream_options.include_usage:
                usage = _usage(details["input_length"], details["generated_tokens"])
                yield {**frame, "choices": [], "usage": usage}

    def _frame(self, kind: str) -> dict[str, Any]:
        model = self._state.switches.model
        return {"object": kind, "id": "", "created": 1, "model": model, "system_fingerprint": "3.3.7-native"}


def _error_body(error: Refused) -> dict[str, Any]:
    # Whatever it is, the router calls it a 422 here.
    return {"error": {"message": str(error), "http_status_code": 422}}


def _finish(reason: str) -> str:
    return "stop" if reason == "eos_token" else reason


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _logprobs(tokens: list[dict[str, Any]], listed: list[list[dict[str, Any]]]) -> dict[str, Any]:
    content = [
        {**_named(token), "top_logprobs": [*map(_named, top)]} for token, top in zip(tokens, listed, strict=True)
    ]
    return {"content": content}


def _named(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token["text"], "logprob": token["logprob"]}
