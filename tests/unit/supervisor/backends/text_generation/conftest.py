"""A text-generation server of the toy model, and teachers behind it."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from support.text_generation import running
from support.text_generation.language import ToyModel, encode

from w2s.models.prompts import PromptTemplate
from w2s_supervisor.backends.text_generation import TextGenerationOpener
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.spec import TextGenerationBackend

MODEL = ToyModel("toy/one")


class Hasty(random.Random):
    """Makes pauses a thousandth as long as the longest they could be, and remembers those."""

    def __init__(self):
        super().__init__(0)
        self.longest = []

    def uniform(self, a, b):
        self.longest.append(b)
        return b / 1000


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Teachers:
    """Opens teachers of one server, and closes them.

    Attributes:
        errors: The kinds of the attempts that failed.
        rng: Where pauses come from.
        clock: What their witnesses go by.
        endpoints: What is allowed.
    """

    def __init__(self, url, rng):
        self.url = url
        self.errors = []
        self.rng = rng
        self.clock = Clock()
        self.endpoints = Endpoints((url,))
        self._opened = contextlib.AsyncExitStack()

    @property
    def opener(self):
        return TextGenerationOpener(self.endpoints, self.errors.append, self.rng, self.clock)

    def spec(self, **fields):
        return TextGenerationBackend(**{"url": self.url, **fields})

    async def identify(self, **fields):
        return await self.opener.identify(self.spec(**fields), "spec.text_generation")

    async def open(self, **fields):
        """A teacher, identified and opened by one spec."""
        teacher = await self.opener.open(self.spec(**fields), await self.identify(**fields))
        self._opened.push_async_callback(teacher.close)
        self.errors.clear()
        return teacher

    async def close(self):
        await self._opened.aclose()


@pytest.fixture(scope="session")
def toy_server():
    with running() as server:
        yield server


@pytest.fixture
def control(toy_server):
    """Sets the server's switches, which are as at the start, and tells what it has seen."""
    toy_server.control(fresh=True)
    return toy_server.control


@pytest.fixture
async def teachers(toy_server, control):
    made = Teachers(toy_server.url, Hasty())
    yield made
    await made.close()


@pytest.fixture
def prompt():
    """Makes a prompt; by default one that the toy model answers with yes or no."""

    def make(template="Question: {text} Answer:", answers=(" yes", " no"), **fields):
        names = tuple(f"class {index}" for index in range(len(answers)))
        return PromptTemplate(template=template, answers=answers, label_names=names, **fields)

    return make


@pytest.fixture
def log_p():
    """log p of each token of a continuation, from the toy model's table, nats.

    The continuation's tokens are those after the first `given`, by default the prompt's own.
    """

    def compute(prompt, continuation, model=MODEL, given=None):
        tokens = encode(prompt + continuation)
        begin = len(encode(prompt)) if given is None else given
        return np.array([model.log_probabilities(tokens[:end])[tokens[end]] for end in range(begin, len(tokens))])

    return compute


@pytest.fixture
def softmax():
    def compute(values):
        powers = np.exp(np.asarray(values) - np.max(values))
        return powers / powers.sum()

    return compute
