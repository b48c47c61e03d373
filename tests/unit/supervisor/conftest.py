"""Teachers that follow a rule, so that what is around them shows."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s_supervisor.backends.protocol import Ability, Backend, Identity, Labelled
from w2s_supervisor.migrations import TEACHERS
from w2s_supervisor.pool import Prepared, TeacherPool
from w2s_supervisor.spec import TeacherSpec
from w2s_supervisor.teachers import TeacherRegistry

NAMES = ("no", "yes")


def digest(number):
    return f"sha256:{number:064x}"


def spec_of(id_):
    return TeacherSpec.model_validate({"model": {"model": {"uri": f"file:///models/{id_}"}}})


def identity_of(number, names=NAMES):
    return Identity("run", digest(number), tuple(names), frozenset({Ability.LABEL}))


class Rule(Backend):
    """Says `yes` of the texts that hold a word; can be held up, and remembers that it was closed."""

    def __init__(self, word, classes=2):
        self.word = word
        self.classes = classes
        self.closed = False
        self.free = asyncio.Event()
        self.free.set()

    async def label(self, rows, lane):
        await self.free.wait()
        found = [self.word in row.text for row in rows]
        return [self._say(yes) for yes in found]

    def _say(self, yes):
        probabilities = np.full(self.classes, 0.2 / (self.classes - 1), dtype=np.float32)
        probabilities[int(yes)] = 0.8
        return Labelled(np.log(probabilities), probabilities)

    async def close(self):
        assert not self.closed
        self.closed = True


class Rules:
    """Loads teachers from a table of backends by id; each load makes its backend anew."""

    def __init__(self):
        self.make = {}
        self.sizes = {}
        self.opened = []
        self.free = asyncio.Event()
        self.free.set()

    async def prepare(self, teacher):
        return Prepared(size=self.sizes.get(teacher.id, 0))

    async def open(self, teacher, prepared):
        await self.free.wait()
        found = self.make[teacher.id]()
        if isinstance(found, Exception):
            raise found
        self.opened.append((teacher.id, found))
        return found

    def of(self, id_):
        """The backend that was opened last for a teacher."""
        return next(backend for opened, backend in reversed(self.opened) if opened == id_)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/state.db", TEACHERS)
    yield database
    database.close()


@pytest.fixture
def registry(database):
    return TeacherRegistry(database)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def rules():
    return Rules()


@pytest.fixture
def register(registry, rules):
    """Registers a teacher that follows a rule: `await register("a", 1)`."""

    async def make(id_, number, backend=None, names=NAMES):
        rules.make[id_] = backend or (lambda: Rule(id_, len(names)))
        return await registry.register(id_, spec_of(id_), identity_of(number, names))

    return make


@pytest.fixture
async def new_pool(rules):
    """Makes a pool over the rules: `new_pool(max_loaded=2)`."""
    pools = []

    def make(max_loaded=3, memory=None):
        pools.append(TeacherPool(rules, max_loaded, lambda taken: memory - taken if memory else 1 << 40))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


async def settle():
    """Lets everything that can go on do so."""
    # The database works in a thread of its own.
    for _ in range(10):
        await asyncio.sleep(0.01)


@pytest.fixture
def settled():
    return settle
