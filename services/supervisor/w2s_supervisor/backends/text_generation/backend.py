"""A teacher behind a text-generation server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.models.inputs import Completion, Piece, Row, Sampling
from w2s.models.prompts import PromptTemplate
from w2s_supervisor.backends.protocol import Backend, Labelled, Lane, Scored
from w2s_supervisor.backends.room import Room
from w2s_supervisor.backends.text_generation.asking import each
from w2s_supervisor.backends.text_generation.classes import ClassReader
from w2s_supervisor.backends.text_generation.client import Client, Event, Give
from w2s_supervisor.backends.text_generation.failures import Lacks, RowError
from w2s_supervisor.backends.text_generation.generation import continued
from w2s_supervisor.backends.text_generation.reading import boundary, continuation
from w2s_supervisor.backends.text_generation.server import Key, TextServer
from w2s_supervisor.backends.text_generation.witness import Witness

_MOST_STOPS = 4

T = TypeVar("T")


class TextGenerationAnswers(Backend):
    """Asks a server. Requests wait in the order they come for one of its places; bulk ones for half of them.

    Args:
        client: The server's connections, which it owns.
        server: The server.
        witness: Knows whether it is still the same.
        room: How much may wait for it.
        prompt: How examples are put; None when it does not label.
        reader: Reads class probabilities; None when it does not label.
        problem: Why it cannot read given texts, or None.
    """

    def __init__(
        self,
        client: Client,
        server: TextServer,
        witness: Witness,
        room: Room,
        prompt: PromptTemplate | None,
        reader: ClassReader | None,
        problem: Lacks | None,
    ) -> None:
        self._client = client
        self._server = server
        self._witness = witness
        self._room = room
        self._prompt = prompt
        self._reader = reader
        self._problem = problem
        self.needs_pairs = prompt is not None and prompt.needs_pairs

    async def label(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        """As `Backend.label`."""
        if self._prompt is None or self._reader is None:
            raise FailedPrecondition("this teacher cannot label: it was registered without a prompt")
        prompts = map(self._prompt.render, rows)
        with self._room.admit(len(rows), lane):
            await self._witness.confirm()
            answers = await each([self._in_turn(self._reader.read(prompt), lane) for prompt in prompts])
            await self._witness.confirm()
        return answers

    async def score(self, completions: Sequence[Completion], lane: Lane) -> list[Scored | W2SError]:
        """As `Backend.score`."""
        if self._problem is not None:
            raise self._problem
        prompts = list(dict.fromkeys(completion.prompt for completion in completions))
        with self._room.admit(len(completions), lane):
            await self._witness.confirm()
            found = await each([self._in_turn(self._server.keys(prompt), lane) for prompt in prompts])
            keys = dict(zip(prompts, found, strict=True))
            answers = await each([self._in_turn(self._score(c, keys[c.prompt]), lane) for c in completions])
            await self._witness.confirm()
        return answers

    async def generate(self, *samplings: Sampling) -> AsyncGenerator[Piece, None]:
        """As `Backend.generate`.

        n continuations are n requests with seeds of their own (`generation.seed_of`). A caller
        that does not read holds the request open, until its time is over.
        """
        if len(samplings[0].stop) > _MOST_STOPS:
            raise InvalidArgument("stop", f"must have at most {_MOST_STOPS} texts")
        await self._witness.confirm()

        async def stream(sampling: Sampling, seed: int | None, give: Give) -> None:
            known = False

            async def confirmed(event: Event) -> bool:
                nonlocal known
                if not known:
                    await self._witness.confirm()
                    known = True
                return await give(event)

            await self._server.stream(sampling, seed, confirmed)

        pieces = continued(samplings, stream)
        try:
            async for piece in pieces:
                yield piece
        except RowError as error:
            raise error.error from None
        finally:
            await pieces.aclose()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _in_turn(self, question: Coroutine[Any, Any, T], lane: Lane) -> T:
        async with self._room.turn(lane):
            return await question

    async def _score(self, completion: Completion, prompt: list[Key] | W2SError) -> Scored:
        if isinstance(prompt, W2SError):
            raise RowError(prompt)
        whole = await self._server.read(completion.prompt + completion.completion)
        begin = boundary(prompt, [token.key for token in whole])
        return Scored(continuation(whole, begin, self._server.host).astype(np.float32))
