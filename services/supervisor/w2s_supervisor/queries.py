"""The RPCs that ask teachers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field, field_validator

from w2s.errors import InvalidArgument, ResourceExhausted
from w2s.models.inputs import Completion, Row, Sampling
from w2s.rpc.convert import resource_id, to_model
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_supervisor import messages
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.desk import Desk, Target
from w2s_supervisor.limits import Limits

# Requests of one stream that are answered at the same time; the server reads no further.
_STREAM_WINDOW = 8
# What one Generate call may ask for.
_CONTINUATIONS = 64
_SEEDS = 2**32


class _Targeted(Protocol):
    teacher: str
    required_digest: str


class _GenerateSpec(BaseModel):
    """A GenerateRequest within its ranges."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompts: tuple[str, ...]
    samples: int = Field(default=1, ge=0, le=_CONTINUATIONS)
    max_new_tokens: int = Field(default=128, ge=0, le=8192)
    temperature: float = Field(default=0.0, ge=0, le=100)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=_SEEDS)
    stop: tuple[str, ...] = Field(default=(), max_length=4)

    @field_validator("prompts", "stop")
    @classmethod
    def _say_something(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if "" in texts:
            raise ValueError("must not hold an empty text")
        return texts

    def samplings(self) -> list[Sampling]:
        """The request with its defaults, for each prompt.

        Raises:
            InvalidArgument: They are more continuations than a call may have.
        """
        samples = self.samples or 1
        if (asked := len(self.prompts) * samples) > _CONTINUATIONS:
            raise InvalidArgument(
                "prompts", f"are {asked} continuations with their samples; a call may have {_CONTINUATIONS}"
            )
        fields = self.model_dump(exclude={"prompts"})
        fields |= {"samples": samples, "max_new_tokens": self.max_new_tokens or 128}
        return [
            Sampling(prompt, **fields | {"seed": None if self.seed is None else (self.seed + index) % _SEEDS})
            for index, prompt in enumerate(self.prompts)
        ]


class Queries:
    """Answers questions, within limits.

    Args:
        desk: Asks teachers.
        limits: How much a call may carry.
        max_generations: Generate calls at once.
    """

    def __init__(self, desk: Desk, limits: Limits, max_generations: int) -> None:
        self._desk = desk
        self._limits = limits
        self._max_generations = max_generations
        self._generations = 0

    async def label(self, request: pb.LabelRequest, lane: Lane) -> pb.LabelResponse:
        """One batch of labels."""
        examples = request.examples
        self._limits.check_rows("examples", [example.id for example in examples])
        self._limits.check_texts(_texts("examples", examples, "text", "text_pair"))
        rows = [Row(example.text, example.text_pair) for example in examples]
        answer = await self._desk.label(target(request), rows, lane)
        labels = zip(examples, answer.values, strict=True)
        return pb.LabelResponse(
            labels=[messages.soft_label(example.id, value) for example, value in labels],
            teacher=messages.version(answer.teacher.version),
        )

    async def label_stream(self, requests: AsyncIterator[pb.LabelRequest]) -> AsyncGenerator[pb.LabelResponse, None]:
        """Batches of labels in the order of their requests, a few under way at once.

        Each is sent once it is there: a caller may wait for it before sending the next request.
        """
        under_way: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        room = asyncio.Semaphore(_STREAM_WINDOW)

        async def read() -> None:
            async for request in requests:
                await room.acquire()
                under_way.put_nowait(asyncio.create_task(self.label(request, Lane.STREAM)))

        reader = asyncio.create_task(read())
        # What ends the reading comes after the answers to what was read.
        reader.add_done_callback(under_way.put_nowait)
        try:
            while (answer := await under_way.get()) is not reader:
                yield await answer
                room.release()
            await reader
        finally:
            left = [reader, *(under_way.get_nowait() for _ in range(under_way.qsize()))]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def score(self, request: pb.ScoreRequest) -> pb.ScoreResponse:
        """Scores of completions."""
        asked = request.completions
        self._limits.check_rows("completions", [completion.id for completion in asked])
        self._limits.check_texts(_texts("completions", asked, "prompt", "completion"))
        completions = [Completion(completion.prompt, completion.completion) for completion in asked]
        answer = await self._desk.score(target(request), completions, Lane.ONLINE)
        scores = zip(asked, answer.values, strict=True)
        return pb.ScoreResponse(
            scores=[messages.completion_score(completion.id, value) for completion, value in scores],
            teacher=messages.version(answer.teacher.version),
        )

    async def compare(self, request: pb.CompareRequest) -> pb.CompareResponse:
        """Preferences between completions."""
        asked = request.pairs
        self._limits.check_rows("pairs", [pair.id for pair in asked])
        self._limits.check_texts(_texts("pairs", asked, "prompt", "completion_a", "completion_b"))
        pairs = [(Completion(p.prompt, p.completion_a), Completion(p.prompt, p.completion_b)) for p in asked]
        answer = await self._desk.compare(target(request), pairs, request.length_normalized, Lane.ONLINE)
        preferences = zip(asked, answer.values, strict=True)
        return pb.CompareResponse(
            preferences=[messages.preference(pair.id, value) for pair, value in preferences],
            teacher=messages.version(answer.teacher.version),
        )

    async def generate(self, request: pb.GenerateRequest) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Continuations, piece by piece."""
        samplings = to_model(request, _GenerateSpec, "").samplings()
        self._limits.check_texts([(f"prompts[{index}]", one.prompt) for index, one in enumerate(samplings)])
        if self._generations >= self._max_generations:
            raise ResourceExhausted(f"{self._generations} generations are under way, which is the limit")
        self._generations += 1
        try:
            async with aclosing(self._desk.generate(target(request), samplings)) as pieces:
                async for teacher, piece in pieces:
                    yield messages.generated(piece, samplings[0].samples, teacher)
        finally:
            self._generations -= 1


def target(request: _Targeted) -> Target:
    """Which teacher a request means; InvalidArgument when the name is none."""
    id_ = resource_id(request.teacher, "teachers", "teacher") if request.teacher else ""
    return Target(id_, request.required_digest)


def _texts(field: str, messages: Sequence[Message], *names: str) -> list[tuple[str, str]]:
    """The texts of a request, each with the field that it is in."""
    return [
        (f"{field}[{index}].{name}", getattr(message, name)) for index, message in enumerate(messages) for name in names
    ]
