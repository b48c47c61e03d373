"""A desk of teachers by a tiny rule, and the servers of the Open Inference Protocol over it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc.aio
import numpy as np
from prometheus_client import CollectorRegistry

from w2s.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from w2s.rpc.access import Access
from w2s.rpc.interceptors import CallInterceptor
from w2s_supervisor.backends.protocol import Ability, Labelled, Scored
from w2s_supervisor.desk import Answer
from w2s_supervisor.limits import Limits
from w2s_supervisor.oip.http import OipHttp
from w2s_supervisor.oip.servicer import add_oip

MAX_BYTES = 1 << 20
LIMITS = Limits(max_rows=8, max_characters=1000)


@dataclass(frozen=True)
class RuleTeacher:
    id: str
    label_names: tuple[str, ...]
    abilities: frozenset[Ability]
    revision: str = "rule-1"

    @property
    def name(self):
        return f"teachers/{self.id}"

    @property
    def digest(self):
        return f"digest-of-{self.id}"


TEACHERS = (
    RuleTeacher("vowels", ("few", "many"), frozenset({Ability.LABEL})),
    RuleTeacher("letters", ("few", "many"), frozenset({Ability.LABEL, Ability.SCORE})),
    RuleTeacher("pairs", ("few", "many"), frozenset({Ability.LABEL})),
    RuleTeacher("reward", (), frozenset({Ability.SCORE, Ability.COMPARE})),
    RuleTeacher("mute", (), frozenset({Ability.GENERATE})),
)


class RuleDesk:
    """P(many) of a row is (vowels + 1) / (letters + 2), by Laplace; a completion's score is its length."""

    def __init__(self):
        self.loaded = set()
        self.active = ""
        self.asked = []

    def reset(self):
        self.loaded.clear()
        self.asked.clear()
        self.active = ""

    def activate(self, id_):
        self.loaded.add(id_)
        self.active = id_

    async def label(self, target, rows, lane, pair_field):
        teacher = await self._found(target)
        self.asked.append((lane, list(rows)))
        await self._obey([row.text for row in rows])
        for index, row in enumerate(rows):
            if teacher.id == "pairs" and not row.pair:
                raise InvalidArgument(pair_field.format(index), "is required")
        return Answer(teacher, [self._label(row) for row in rows])

    async def score(self, target, completions, lane):
        teacher = await self._found(target)
        self.asked.append((lane, list(completions)))
        return Answer(teacher, [Scored(reward=float(len(one.completion))) for one in completions])

    async def teacher(self, target):
        id_ = target.teacher_id or self.active
        if not id_:
            raise FailedPrecondition("no teacher is active")
        for teacher in TEACHERS:
            if teacher.id == id_:
                if target.required_digest not in ("", teacher.digest):
                    raise FailedPrecondition(f"{teacher.name} has digest {teacher.digest}")
                return teacher
        raise NotFound(f"there is no teachers/{id_}")

    async def teachers(self):
        return TEACHERS

    def is_ready(self, teacher_id):
        return bool(self.active) if not teacher_id else teacher_id in self.loaded

    async def load(self, teacher_id):
        self.loaded.add((await self._named(teacher_id)).id)

    async def unload(self, teacher_id):
        if (await self._named(teacher_id)).id == self.active:
            raise FailedPrecondition(f"teachers/{teacher_id} is active; activate another first")
        self.loaded.discard(teacher_id)

    async def _found(self, target):
        teacher = await self.teacher(target)
        self.loaded.add(teacher.id)
        return teacher

    async def _named(self, teacher_id):
        for teacher in TEACHERS:
            if teacher.id == teacher_id:
                return teacher
        raise NotFound(f"there is no teachers/{teacher_id}")

    async def _obey(self, texts):
        for text in texts:
            if text == "busy":
                raise ResourceExhausted("64 rows wait already", retry_after_s=2.5)
            if text == "crash":
                raise RuntimeError("a secret")
            if text.startswith("sleep "):
                await asyncio.sleep(float(text.split()[1]))

    def _label(self, row):
        if row.text == "bad":
            return InvalidArgument("text", "is bad")
        if row.pair == "bad":
            return InvalidArgument("text_pair", "is bad")
        if row.text == "lost":
            return Unavailable("the server went away")
        letters = row.text + row.pair
        vowels = sum(letter in "aeiou" for letter in letters)
        many = (vowels + 1) / (len(letters) + 2)
        probabilities = np.array([1 - many, many], dtype=np.float32)
        return Labelled(np.log(probabilities), probabilities)


@dataclass(frozen=True)
class Served:
    """Both servers, by their addresses."""

    desk: RuleDesk
    grpc: str
    http: str


@asynccontextmanager
async def oip_served(desk, max_bytes=MAX_BYTES):
    server = grpc.aio.server(interceptors=[CallInterceptor(CollectorRegistry())])
    add_oip(server, desk, LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    http = OipHttp(desk, LIMITS, "127.0.0.1", 0, max_bytes, Access())
    await server.start()
    await http.start()
    try:
        yield Served(desk, f"127.0.0.1:{port}", f"http://{http.address}")
    finally:
        await http.stop(0)
        await server.stop(0)


@contextmanager
def oip_thread(desk):
    """The servers on an event loop of their own, for as long as a block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = oip_served(desk)
    try:
        yield asyncio.run_coroutine_threadsafe(servers.__aenter__(), loop).result(30)
        asyncio.run_coroutine_threadsafe(servers.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _main():
    """Prints the addresses, then makes teachers active by the ids that come in, until there are no more."""
    desk = RuleDesk()
    desk.activate("vowels")
    async with oip_served(desk) as served:
        _say(json.dumps({"grpc": served.grpc, "http": served.http}))
        while line := await asyncio.to_thread(sys.stdin.readline):
            desk.activate(line.strip())
            _say("active")


if __name__ == "__main__":
    asyncio.run(_main())
