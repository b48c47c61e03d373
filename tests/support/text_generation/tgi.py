"""Text Generation Inference's own routes, as its router 3.3 answers them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from support.text_generation.checks import MAX_BEST_OF, Generate, checked, error_body, error_response, parsed
from support.text_generation.decoding import Settings, Step, continued
from support.text_generation.language import BOS, ToyModel, decode, encode, pieces
from support.text_generation.metrics import exposition
from support.text_generation.streams import sse, stream_ends
from support.text_generation.switches import CallerGone, Refused, State


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
            "max_best_of": MAX_BEST_OF,
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
        return PlainTextResponse(exposition(self._state.journal))

    async def tokenize(self, request: Request) -> Response:
        body = await parsed(request, Generate)
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
        body = await parsed(request, Generate)
        if isinstance(body, Response):
            return body
        return await self._streamed(body, request) if body.stream else await self._whole(body, request, listed=True)

    async def generate(self, request: Request) -> Response:
        body = await parsed(request, Generate)
        return body if isinstance(body, Response) else await self._whole(body, request, listed=False)

    async def generate_stream(self, request: Request) -> Response:
        body = await parsed(request, Generate)
        return body if isinstance(body, Response) else await self._streamed(body, request)

    async def _whole(self, body: Generate, request: Request, *, listed: bool) -> Response:
        try:
            answer = await self.answer(body, request)
        except Refused as error:
            return error_response(error)
        except CallerGone:
            return Response(status_code=499)
        headers = {"x-prompt-tokens": str(len(encode(body.inputs)))}
        return JSONResponse([answer] if listed else answer, headers=headers)

    async def answer(self, body: Generate, request: Request) -> dict[str, Any]:
        """One whole answer.

        Raises:
            Refused: The request is not let pass, or fails.
            CallerGone: As `State.wait`.
        """
        with self._state.place():
            settings = checked(body, self._state.switches, streamed=False)
            await self._state.wait(request)
            return self._best(body, settings)

    def _best(self, body: Generate, settings: Settings) -> dict[str, Any]:
        prompt, count = encode(body.inputs), body.parameters.best_of or 1
        sequences = [list(continued(self._model, prompt, settings)) for _ in range(count)]
        best, *others = sorted(sequences, key=_mean_log_probability, reverse=True)
        answer = self._details(body, best)
        if others and "details" in answer:
            told = [self._details(body, steps) for steps in others]
            answer["details"]["best_of_sequences"] = [
                {"generated_text": other["generated_text"], **other["details"]} for other in told
            ]
        return answer

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
        return sse(self._state, self.events(body, request), error_body)

    async def events(self, body: Generate, request: Request) -> AsyncGenerator[dict[str, Any], None]:
        """A stream's events; raises as `answer`, or ConnectionAbortedError when it is to break off."""
        with self._state.place():
            settings = checked(body, self._state.switches, streamed=True)
            prompt, text = encode(body.inputs), ""
            for index, step in enumerate(continued(self._model, prompt, settings), start=1):
                await self._state.wait(request)
                if stream_ends(self._state.switches, index):
                    return
                text += "" if step.special else step.text
                ends = {"finish_reason": step.finish, "generated_tokens": index, "seed": settings.seed}
                top = {"top_tokens": [self._token(*top) for top in step.top]} if step.top else {}
                yield {
                    "index": index,
                    "token": self._token(step.token, step.log_probability),
                    **top,
                    "generated_text": text if step.finish else None,
                    "details": {**ends, "input_length": len(prompt)} if step.finish else None,
                }


def _mean_log_probability(steps: list[Step]) -> float:
    return sum(step.log_probability for step in steps) / len(steps)
