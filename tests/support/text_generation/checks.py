"""What TGI's router lets pass, and the words in which it refuses the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field, ValidationError
from support.text_generation.decoding import Settings, alternatives
from support.text_generation.language import encode
from support.text_generation.switches import Refused, Switches

MAX_BEST_OF = 2
_STATUS = {"not_found": 404, "validation": 422, "overloaded": 429, "generation": 424, "incomplete_generation": 500}
Body = TypeVar("Body", bound=BaseModel)


class Grammar(BaseModel):
    type: str
    value: str


class Parameters(BaseModel):
    """As in the API; what is not here the toy model knows nothing of, and `typical_p` is only checked."""

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


def error_body(error: Refused) -> dict[str, str]:
    """An error in TGI's form."""
    return {"error": str(error), "error_type": error.kind}


def error_response(error: Refused) -> Response:
    """The answer that is an error."""
    return JSONResponse(error_body(error), _STATUS[error.kind])


async def parsed(request: Request, kind: type[Body]) -> Body | Response:
    """A request's body, or the answer to one that cannot be read."""
    # What the web framework refuses is plain text, not TGI's own form of errors.
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        broken = error.errors()[0]["type"] == "json_invalid"
        words = "parse the request body as" if broken else "deserialize the JSON body into the target type from"
        return PlainTextResponse(f"Failed to {words} JSON", 400 if broken else 422)


def checked(body: Generate, switches: Switches, *, streamed: bool) -> Settings:
    """The request's settings, known to be ones that the router lets pass.

    Raises:
        Refused: They are not, or the request is one to fail.
    """
    asked = body.parameters
    for message, holds in _problems(body, switches, streamed=streamed):
        if holds:
            raise Refused(f"Input validation error: {message}", "validation")
    if switches.poison and switches.poison in body.inputs:
        raise Refused("Request failed during generation: told to fail", "generation")
    return Settings(
        limit=asked.limit,
        sample=asked.samples,
        temperature=asked.temperature or 1.0,
        top_k=asked.top_k,
        top_p=asked.top_p or 1.0,
        seed=asked.seed,
        stop=tuple(asked.stop),
        top_n=asked.top_n_tokens or 0,
        answers=() if switches.grammar_ignored else _answers(asked.grammar),
    )


def _problems(body: Generate, switches: Switches, *, streamed: bool) -> Iterator[tuple[str, bool]]:
    """What the router checks, in its order and its words."""
    asked = body.parameters
    best_of, top_n, most = (
        1 if asked.best_of is None else asked.best_of,
        asked.top_n_tokens or 0,
        switches.max_top_n_tokens,
    )
    tokens, longest = len(encode(body.inputs)), switches.max_input_tokens
    given = f"Given: {tokens} `inputs` tokens and {asked.limit} `max_new_tokens`"
    yield "`best_of` != 1 is not supported when streaming tokens", streamed and best_of > 1
    yield (
        "`decoder_input_details` == true is not supported when streaming tokens",
        streamed and asked.decoder_input_details,
    )
    yield f"`best_of` must be > 0 and <= {MAX_BEST_OF}. Given: {best_of}", not 0 < best_of <= MAX_BEST_OF
    yield "you must use sampling when `best_of` is > 1", best_of > 1 and not asked.samples
    yield "`temperature` must be strictly positive", asked.temperature is not None and asked.temperature <= 0
    yield "`top_p` must be > 0.0 and < 1.0", asked.top_p is not None and not 0 < asked.top_p < 1
    yield "`typical_p` must be > 0.0 and < 1.0", asked.typical_p is not None and not 0 < asked.typical_p < 1
    yield "`top_k` must be strictly positive", asked.top_k is not None and asked.top_k <= 0
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
