"""The `/v1` routes of the OpenAI interface but chat, as vLLM answers them; TGI has fewer of their fields."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, ValidationError
from support.text_generation.decoding import Settings, Step, continued
from support.text_generation.language import ToyModel, decode, encode
from support.text_generation.streams import sse, stream_ends
from support.text_generation.switches import CallerGone, Refused, State

_STATUS = {"not_found": 404, "validation": 400, "overloaded": 429, "generation": 500, "incomplete_generation": 500}
_MAX_LOGPROBS = 20


class StreamOptions(BaseModel):
    include_usage: bool = False


class Completion(BaseModel):
    """As in the API; what is not here the toy model knows nothing of."""

    model: str
    prompt: str = Field(min_length=1)
    max_tokens: int = Field(default=16, ge=0)
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: list[str] = []
    logprobs: int | None = Field(default=None, ge=0, le=_MAX_LOGPROBS)
    echo: bool = False
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def settings(self) -> Settings:
        return Settings(
            limit=self.max_tokens,
            sample=self.temperature > 0,
            temperature=self.temperature or 1.0,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(self.stop),
            top_n=self.logprobs or 0,
        )


def routes(state: State) -> APIRouter:
    """OpenAI's routes over the toy model."""
    router, server = APIRouter(), OpenAi(state)
    router.get("/v1/models")(server.models)
    router.post("/v1/completions")(server.completions)
    return router


class OpenAi:
    """Answers for the routes."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def _model(self) -> ToyModel:
        return ToyModel(self._state.switches.model)

    async def models(self) -> dict[str, Any]:
        name = self._state.switches.model
        card: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": name}
        if self._state.switches.api == "openai":
            longest = self._state.switches.max_input_tokens
            card |= {"owned_by": "vllm", "root": name, "parent": None, "max_model_len": longest}
        return {"object": "list", "data": [card]}

    async def completions(self, request: Request) -> Response:
        """`/v1/completions`: a stream, or one answer."""
        try:
            body = self._checked(Completion.model_validate_json(await request.body()))
            if body.stream:
                return sse(self._state, self._chunks(body, request), _error_body, b"data: [DONE]\n\n")
            return JSONResponse(await self._answer(body, request))
        except ValidationError as error:
            # What is echoed here a client must not show to others: the prompt may be in it.
            return JSONResponse({"error": {"message": str(error), "type": "BadRequestError", "code": 400}}, 400)
        except Refused as error:
            return JSONResponse(_error_body(error), _STATUS[error.kind])
        except CallerGone:
            return Response(status_code=499)

    def _checked(self, body: Completion) -> Completion:
        switches = self._state.switches
        if body.model not in (switches.model, "tgi"):
            raise Refused(f"The model `{body.model}` does not exist.", "not_found")
        tokens = len(encode(body.prompt))
        if tokens + body.max_tokens > switches.max_input_tokens:
            longest = switches.max_input_tokens
            raise Refused(f"This model's maximum context length is {longest} tokens, not {tokens}.", "validation")
        if switches.poison and switches.poison in body.prompt:
            raise Refused("told to fail", "generation")
        return body

    async def _answer(self, body: Completion, request: Request) -> dict[str, Any]:
        with self._state.place():
            await self._state.wait(request)
            steps = list(continued(self._model, encode(body.prompt), body.settings))
            choice = {
                "index": 0,
                "text": (body.prompt if body.echo else "") + "".join(_texts(steps, body.stop)),
                "logprobs": self._logprobs(body, steps),
                **_finish(steps[-1], body.stop),
            }
            return {**self._frame(), "choices": [choice], "usage": _usage(body, steps)}

    def _logprobs(self, body: Completion, steps: list[Step]) -> dict[str, Any] | None:
        if body.logprobs is None or self._state.switches.api != "openai":
            return None
        tokens, values = [step.token for step in steps], [step.log_probability for step in steps]
        top = [{decode(token): value for token, value in step.top} for step in steps]
        if body.echo and self._state.switches.echo:
            prompt = encode(body.prompt)
            tokens, values = [*prompt, *tokens], [*self._model.read(prompt), *values]
            top = [*[None] * len(prompt), *top]
        missing = self._state.switches.missing_logprob
        return {
            "tokens": [decode(token) for token in tokens],
            "token_logprobs": [None if decode(t) == missing else v for t, v in zip(tokens, values, strict=True)],
            "top_logprobs": top,
            "text_offset": [],
        }

    async def _chunks(self, body: Completion, request: Request) -> AsyncGenerator[dict[str, Any], None]:
        with self._state.place():
            steps = list(continued(self._model, encode(body.prompt), body.settings))
            for index, (step, text) in enumerate(zip(steps, _texts(steps, body.stop), strict=True), start=1):
                await self._state.wait(request)
                if stream_ends(self._state.switches, index):
                    return
                yield {**self._frame(), "choices": [{"index": 0, "text": text, **_finish(step, body.stop)}]}
            if body.stream_options.include_usage:
                yield {**self._frame(), "choices": [], "usage": _usage(body, steps)}

    def _frame(self) -> dict[str, Any]:
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": self._state.switches.model}


def _error_body(error: Refused) -> dict[str, Any]:
    code = _STATUS[error.kind]
    return {"error": {"message": str(error), "type": "BadRequestError", "param": None, "code": code}}


def _texts(steps: list[Step], stop: list[str]) -> list[str]:
    """Each step's text; a stop text is left out, and what may become one is held back."""
    whole = "".join(step.text for step in steps if not step.special)
    if steps[-1].finish == "stop_sequence":
        whole = whole[: min(at for ending in stop if (at := whole.find(ending)) >= 0)]
    texts, sent, held = [], 0, max((len(ending) - 1 for ending in stop), default=0)
    for index, step in enumerate(steps):
        until = sum(len(before.text) for before in steps[: index + 1] if not before.special)
        end = len(whole) if step.finish else max(sent, min(len(whole), until - held))
        texts.append(whole[sent:end])
        sent = end
    return texts


def _finish(step: Step, stop: list[str]) -> dict[str, Any]:
    if step.finish == "length":
        return {"finish_reason": "length", "stop_reason": None}
    if step.finish == "stop_sequence":
        return {"finish_reason": "stop", "stop_reason": stop[0]}
    return {"finish_reason": "stop" if step.finish else None, "stop_reason": None}


def _usage(body: Completion, steps: list[Step]) -> dict[str, int]:
    prompt = len(encode(body.prompt))
    return {"prompt_tokens": prompt, "completion_tokens": len(steps), "total_tokens": prompt + len(steps)}
