"""Connects to text-generation servers and finds out what they can."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from w2s.errors import FailedPrecondition, InvalidArgument, NotFound
from w2s_supervisor.backends.digest import digest_of
from w2s_supervisor.backends.protocol import Ability, Backend, Identity
from w2s_supervisor.backends.room import Room
from w2s_supervisor.backends.text_generation.backend import TextGenerationAnswers
from w2s_supervisor.backends.text_generation.classes import ClassReader, choose, example
from w2s_supervisor.backends.text_generation.client import Client
from w2s_supervisor.backends.text_generation.failures import Kind, Lacks, RowError
from w2s_supervisor.backends.text_generation.openai import OpenAiServer
from w2s_supervisor.backends.text_generation.reading import unreadable
from w2s_supervisor.backends.text_generation.server import Facts, TextServer
from w2s_supervisor.backends.text_generation.tgi import TgiServer
from w2s_supervisor.backends.text_generation.witness import Witness
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.spec import TextGenerationApi, TextGenerationBackend

log = logging.getLogger(__name__)

_PLACES = 32
_EXAMPLE = "This is an example."


@dataclass(frozen=True)
class _Connection:
    """A server that was asked who it is and what it can.

    Attributes:
        client: Its connections.
        server: The server.
        facts: What it says of its model.
        problem: Why it cannot read given texts, or None.
        reader: How class probabilities are read; None without a prompt.
    """

    client: Client
    server: TextServer
    facts: Facts
    problem: Lacks | None
    reader: ClassReader | None


class TextGenerationOpener:
    """Makes teachers of text-generation servers.

    Args:
        endpoints: The servers that are allowed, and the tokens that open them.
        on_error: Told the kind of each HTTP attempt that fails, one of `failures.Kind`.
        rng: Where the jitter of pauses between attempts is from.
        clock: Seconds that only grow.
        max_waiting: Rows that may wait for one server.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        on_error: Callable[[Kind], None],
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_waiting: int = 1024,
    ) -> None:
        self._endpoints = endpoints
        self._on_error = on_error
        self._max_waiting = max_waiting
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._clock = clock

    async def identify(self, spec: TextGenerationBackend, field: str) -> Identity:
        """As `Opener.identify`."""
        async with self._connected(spec, field) as connection:
            await connection.client.close()
        return _identity(spec, connection)

    async def open(self, spec: TextGenerationBackend, identity: Identity) -> Backend:
        """As `Opener.open`."""
        async with self._connected(spec, "spec.text_generation") as connection:
            found = _identity(spec, connection)
            host, reader = connection.client.host, connection.reader
            if found.digest != identity.digest:
                raise FailedPrecondition(
                    f"{host} is {found.digest} ({connection.facts.name}) now and was registered as {identity.digest} "
                    f"({identity.revision}): it serves another model, or can be asked in another way"
                )
            facts = {"host": host, "model": connection.facts.name, "api": connection.server.api.name}
            log.info("teacher's server", extra={**facts, "class_method": reader.method.name if reader else None})
            witness = Witness(connection.server, connection.client, connection.facts, self._clock)
            room = Room(spec.max_concurrency or _PLACES, self._max_waiting)
            return TextGenerationAnswers(
                connection.client, connection.server, witness, room, spec.prompt, reader, connection.problem
            )

    @contextlib.asynccontextmanager
    async def _connected(self, spec: TextGenerationBackend, field: str) -> AsyncIterator[_Connection]:
        """A connection, which is closed when the block fails."""
        client = await self._client(spec, field)
        try:
            server, facts = await _recognized(client, spec, field)
            problem = await unreadable(server, example(spec.prompt) if spec.prompt else _EXAMPLE)
            reader = await choose(server, spec.prompt, spec.class_method, problem) if spec.prompt else None
            yield _Connection(client, server, facts, problem, reader)
        except RowError as error:
            await client.close()
            raise error.error from None
        except BaseException:
            await client.close()
            raise

    async def _client(self, spec: TextGenerationBackend, field: str) -> Client:
        url = await self._endpoints.reach(spec.url, f"{field}.url")
        if not url.startswith(("http://", "https://")):
            raise InvalidArgument(f"{field}.url", "must have the scheme http or https")
        places = spec.max_concurrency or _PLACES

        def token() -> str:
            return self._endpoints.token(spec.credential)

        return Client(url, places, spec.timeout_s, token, self._on_error, self._rng)


async def _recognized(client: Client, spec: TextGenerationBackend, field: str) -> tuple[TextServer, Facts]:
    """The server by its interface, and who it is."""
    if spec.api is not TextGenerationApi.OPENAI:
        tgi = TgiServer(client)
        try:
            facts = await tgi.who()
        except Lacks:
            if spec.api is TextGenerationApi.TGI:
                raise
        else:
            if spec.model not in ("", facts.said["model"]):
                raise NotFound(f"{client.host} has no model {spec.model}; it has {facts.said['model']}")
            return tgi, facts
    openai = OpenAiServer(client, spec.model, f"{field}.model")
    return openai, await openai.who()


def _identity(spec: TextGenerationBackend, connection: _Connection) -> Identity:
    content = {
        "server": connection.facts.said,
        "api": connection.server.api.value,
        "class_method": connection.reader.method.value if connection.reader else None,
        "prompt": spec.prompt.model_dump(mode="json") if spec.prompt else None,
    }
    abilities = {Ability.GENERATE}
    abilities |= {Ability.LABEL} if spec.prompt else set()
    abilities |= {Ability.SCORE, Ability.COMPARE} if connection.problem is None else set()
    names = spec.prompt.label_names if spec.prompt else ()
    return Identity(connection.facts.revision, digest_of(content), names, frozenset(abilities))
