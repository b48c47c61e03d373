"""Text Generation Inference's own routes, as its router 3.3 answers them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, ValidationError
from support.text_generation.decoding import Settings, Step, alternatives, continued
from support.text_generation.language import BOS, ToyModel, decode, encode, pieces
from support.text_generation.switches import CallerGone, State

_STATUS = {"validation": 422, "overloaded": 429, "generation": 424, "incomplete_generation": 500}


class Grammar(BaseModel):
    type: str
    value: str


class Parameters(BaseModel):
    """As in the API; what is not here the toy model knows nothing of."""

    best_of: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    do_sample: bool = False
    max_new_tokens: int | None = None
    return_full_text: bool | None = None
    stop: list[str] = []
    details: bool = False
    decoder_input_details: bool = False
    seed: int | None = Field(default=None, ge=0, lt=2**64)
    top_n_tokens: int | None = Field(default=None, ge=0)
    grammar: Grammar | None = None

    @property
    def limit(self) -> int:
        return 1024 if self.max_new_tokens is None else self.max_new_tokens

    @property
    def samples(self) -> bool:
        warpers = (self.temperature, self.top_k, self.top_p, self.typical_p)
        return self.do_sample or any(value is not None for value in warpers)


class Generate(BaseModel):
    # The trap of the API: without parameters it samples, with empty ones it does not.
    inputs: str
    parameters: Parameters = Parameters(do_sample=True)
    stream: bool = False


class Refused(Exception):
    """An error in TGI's form: a message and a type."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.body = {"error": message, "error_type": kind}
        self.kind = kind


def routes(state: State) -> APIRouter:
    """TGI's routes over the toy model."""
    router, server = APIRouter(), Tgi(state)
    router.get("/info")(server.info)
    router.get("/health")(server.health)
    router.get("/ping")(server.health)
    router.get("/metrics")(server.metrics)
    router.post("/tokenize")(server.tokenize)
    router.post("/")(server.compatible)
    router.post("/generate")(server.generate)
    router.post("/generate_stream")(server.generate_stream)
    return router


class Tgi:
    """Answers for the routes."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def _model(self) -> ToyModel:
        return ToyModel(self._state.switches.model)

    async def info(self) -> dict[str, Any]:
        switches = self._state.switches
        return {
            "model_id": switches.model,
            "model_sha": self._model.sha,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": switches.max_concurrent_requests,
            "max_best_of": 2,
            "max_stop_sequences": 4,
            "max_input_tokens": switches.max_input_tokens,
            "max_total_tokens": 2 * switches.max_input_tokens,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": "3.3.7",
            "sha": None,
            "docker_label": None,
        }

    async def health(self) -> Response:
        return Response()

    async def metrics(self) -> PlainTextResponse:
        return PlainTextResponse(f"tgi_queue_size 0\ntgi_batch_current_size {self._state.journal.in_flight}\n")

    async def tokenize(self, request: Request) -> Response:
        body = await _parsed(request)
        if isinstance(body, Response):
            return body
        first = {"id": BOS, "text": "", "start": 0, "stop": 0}
        later = [
            {"id": token, "text": body.inputs[start:stop], "start": start, "stop": stop}
            for token, start, stop in pieces(body.inputs)
        ]
        return JSONResponse([first, *later])

    async def compatible(self, request: Request) -> Response:
        """`/`: a stream, or a list of one answer."""
        body = await _parsed(request)
        if isinstance(body, Response):
            return body
        return await self._streamed(body, request) if body.stream else await self._whole(body, request, listed=True)

    async def generate(self, request: Request) -> Response:
        body = await _parsed(request)
        return body if isinstance(body, Response) else await self._whole(body, request, listed=False)

    async def generate_stream(self, request: Request) -> Response:
        body = await _parsed(request)
        return body if isinstance(body, Response) else await self._streamed(body, request)

    async def _whole(self, body: Generate, request: Request, *, listed: bool) -> Response:
        try:
            answer = await self._answer(body, request)
        except Refused as error:
            return JSONResponse(error.body, _STATUS[error.kind])
        except CallerGone:
            self._state.journal.aborted += 1
            return Response(status_code=499)
        headers = {"x-prompt-tokens": str(len(encode(body.inputs)))}
        return JSONResponse([answer] if listed else answer, headers=headers)

    async def _answer(self, body: Generate, request: Request) -> dict[str, Any]:
        self._enter()
        try:
            settings = self._settings(body, streamed=False)
            await self._state.wait(request)
            return self._details(body, list(continued(self._model, encode(body.inputs), settings)))
        finally:
            self._state.leave()

    def _details(self, body: Generate, steps: list[Step]) -> dict[str, Any]:
        asked = body.parameters
        text = "".join(step.text for step in steps if not step.special)
        answer: dict[str, Any] = {"generated_text": body.inputs + text if asked.return_full_text else text}
        if asked.details or asked.decoder_input_details:
            prefilled = asked.decoder_input_details and self._state.switches.prefill_logprobs
            answer["details"] = {
                "finish_reason": steps[-1].finish,
                "generated_tokens": len(steps),
                "seed": asked.seed,
                "prefill": self._prefill(body.inputs) if prefilled else [],
                "tokens": [self._token(step.token, step.log_probability) for step in steps],
            }
            if any(step.top for step in steps):
                answer["details"]["top_tokens"] = [[self._token(*top) for top in step.top] for step in steps]
        return answer

    def _prefill(self, text: str) -> list[dict[str, Any]]:
        tokens = encode(text)[self._state.switches.prefill_bare :]
        read = self._model.read(tokens)
        return [self._token(token, value) for token, value in zip(tokens, read, strict=True)]

    def _token(self, token: int, value: float | None) -> dict[str, Any]:
        missing = decode(token) == self._state.switches.missing_logprob
        return {"id": token, "text": decode(token), "logprob": None if missing else value, "special": token < 3}

    async def _streamed(self, body: Generate, request: Request) -> Response:
        events = self._events(body, request)
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _events(self, body: Generate, request: Request) -> AsyncIterator[bytes]:
        # Whatever goes wrong is told in the stream: its status is sent by now.
        done = entered = False
        try:
            self._enter()
            entered = True
            settings = self._settings(body, streamed=True)
            async for event in self._tokens(body, settings, request):
                yield event
            done = True
        except Refused as error:
            done = True
            yield f"data:{json.dumps(error.body)}\n\n".encode()
        except ConnectionAbortedError:
            done = True
            raise
        finally:
            self._state.journal.aborted += not done
            if entered:
                self._state.leave()

    async def _tokens(self, body: Generate, settings: Settings, request: Request) -> AsyncIterator[bytes]:
        switches = self._state.switches
        prompt, text = encode(body.inputs), ""
        for index, step in enumerate(continued(self._model, prompt, settings), start=1):
            await self._state.wait(request)
            if index > switches.stream_events and switches.stream_error:
                raise Refused("told to fail", switches.stream_error)
            if index > switches.stream_events and switches.stream_cut == "end":
                return
            if index > switches.stream_events and switches.stream_cut:
                raise ConnectionAbortedError
            if switches.keep_alive:
                yield b":keep-alive\n\n"
            text += "" if step.special else step.text
            ends = {"finish_reason": step.finish, "generated_tokens": index, "seed": settings.seed}
            event = {
                "index": index,
                "token": self._token(step.token, step.log_probability),
                "generated_text": text if step.finish else None,
                "details": {**ends, "input_length": len(prompt)} if step.finish else None,
            }
            yield f"data:{json.dumps(event)}\n\n".encode()

    def _enter(self) -> None:
        if not self._state.enter():
            raise Refused("Model is overloaded", "overloaded")

    def _settings(self, body: Generate, *, streamed: bool) -> Settings:
        """The request's settings, known to be ones that the router lets pass."""
        asked, switches = body.parameters, self._state.switches
        for message, holds in self._problems(body, streamed=streamed):
            if holds:
                raise Refused(f"Input validation error: {message}", "validation")
        if switches.poison and switches.poison in body.inputs:
            raise Refused("Request failed during generation: told to fail", "generation")
        return Settings(
            limit=asked.limit,
            sample=asked.samples,
            temperature=asked.temperature or 1.0,
            top_p=asked.top_p or 1.0,
            seed=asked.seed,
            stop=tuple(asked.stop),
            top_n=asked.top_n_tokens or 0,
            answers=() if switches.grammar_ignored else _answers(asked.grammar),
        )

    def _problems(self, body: Generate, *, streamed: bool) -> Iterator[tuple[str, bool]]:
        """What the router checks, in its order and its words."""
        asked, switches = body.parameters, self._state.switches
        best_of, top_n, most = asked.best_of or 1, asked.top_n_tokens or 0, switches.max_top_n_tokens
        tokens, longest = len(encode(body.inputs)), switches.max_input_tokens
        given = f"Given: {tokens} `inputs` tokens and {asked.limit} `max_new_tokens`"
        yield "`best_of` != 1 is not supported when streaming tokens", streamed and best_of > 1
        yield (
            "`decoder_input_details` == true is not supported when streaming tokens",
            streamed and asked.decoder_input_details,
        )
        yield f"`best_of` must be > 0 and <= 2. Given: {best_of}", best_of > 2
        yield "you must use sampling when `best_of` is > 1", best_of > 1 and not asked.samples
        yield "`temperature` must be strictly positive", asked.temperature is not None and asked.temperature <= 0
        yield "`top_p` must be > 0.0 and < 1.0", asked.top_p is not None and not 0 < asked.top_p < 1
        yield "`max_new_tokens` must be strictly positive", asked.limit <= 0
        yield f"`stop` supports up to 4 stop sequences. Given: {len(asked.stop)}", len(asked.stop) > 4
        yield "`seed` must not be set when `best_of` > 1", best_of > 1 and asked.seed is not None
        yield f"`top_n_tokens` must be >= 0 and <= {most}. Given: {top_n}", top_n > most
        yield "`inputs` cannot be empty", not body.inputs
        yield (
            f"`inputs` tokens + `max_new_tokens` must be <= {2 * longest}. {given}",
            tokens + asked.limit > 2 * longest,
        )
        yield f"`inputs` must have less than {longest} tokens. Given: {tokens}", tokens > longest
        yield "grammar is not supported", asked.grammar is not None and not switches.grammar


def _answers(grammar: Grammar | None) -> tuple[str, ...]:
    if grammar is None:
        return ()
    try:
        if grammar.type != "regex":
            raise ValueError(grammar.type)
        return alternatives(grammar.value)
    except ValueError as error:
        raise Refused(f"Input validation error: grammar is not valid: {error}", "validation") from None


async def _parsed(request: Request) -> Generate | Response:
    # What the web framework refuses is plain text, not TGI's own form of errors.
    try:
        return Generate.model_validate_json(await request.body())
    except ValidationError as error:
        broken = error.errors()[0]["type"] == "json_invalid"
        words = "parse the request body as" if broken else "deserialize the JSON body into the target type from"
        return PlainTextResponse(f"Failed to {words} JSON", 400 if broken else 422)
