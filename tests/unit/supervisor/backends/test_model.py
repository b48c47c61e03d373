from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from w2s.errors import Internal, InvalidArgument
from w2s.models.engine import Engine
from w2s.models.inputs import Completion, Row
from w2s_supervisor.backends.model import ModelAnswers
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.batching import Batcher
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.threads import Threads


@dataclass(frozen=True)
class Item:
    text: str

    @property
    def length(self):
        return len(self.text)


class Lengths(Engine):
    """Logits (0, length) of a row of one or two texts together; NaN for `nan`, an error for `long`."""

    label_names = ("short", "long")
    scores = generates = True

    def __init__(self):
        self.read = []

    def encode_rows(self, rows):
        return [
            InvalidArgument("text", "is too long") if row.text == "long" else [Item(text) for text in row_texts(row)]
            for row in rows
        ]

    def encode_completions(self, completions):
        return [Item(completion.completion) for completion in completions]

    def run(self, batch):
        self.read.append([item.text for item in batch])
        return [np.array([np.nan if item.text == "nan" else item.length], np.float32) for item in batch]

    def logits(self, parts):
        return np.array([[0, sum(float(part[0]) for part in row)] for row in parts], np.float32)


def row_texts(row):
    return [row.text, row.pair] if row.pair else [row.text]


def answers_of(engine, threads):
    observer = SupervisorMetrics(CollectorRegistry()).queue("teachers/a")
    batcher = Batcher(
        lambda batch: threads.model(engine.run, batch),
        token_budget=12,
        max_waiting=99,
        max_delay_s=0,
        observer=observer,
    )
    return ModelAnswers(engine, batcher, threads, 12, rewards=False)


@pytest.fixture
def threads():
    threads = Threads()
    yield threads
    threads.close()


@pytest.fixture
async def answers(threads):
    """An engine's answers, and the engine."""
    engine = Lengths()
    return answers_of(engine, threads), engine


@pytest.mark.parametrize("lane", Lane)
async def test_every_row_has_its_own_answer_whatever_the_others_are(answers, lane):
    backend, _ = answers
    rows = [Row("ab"), Row("nan"), Row("abc", "d"), Row("long"), Row("ab")]
    two, nan, four, long, again = await backend.label(rows, lane)
    assert [label.logits.tolist() for label in (two, four, again)] == [[0, 2], [0, 4], [0, 2]]
    # exp(2) / (1 + exp(2))
    assert two.probabilities.tolist() == pytest.approx([0.1192029, 0.8807971])
    assert isinstance(nan, Internal)
    assert "not finite" in nan.message
    assert isinstance(long, InvalidArgument)


async def test_a_score_that_is_not_finite_is_an_error_in_its_place(answers):
    backend, _ = answers
    good, bad = await backend.score([Completion("p", "abc"), Completion("p", "nan")], Lane.ONLINE)
    assert good.value(length_normalized=False) == 3
    assert isinstance(bad, Internal)


async def test_bulk_rows_that_are_equal_are_computed_once_and_batched_by_length(answers):
    backend, engine = answers
    await backend.label([Row(text) for text in ("aaaa", "b", "aaaa", "cccc", "dd", "b", "eeee")], Lane.BULK)
    assert engine.read == [["aaaa", "cccc", "eeee"], ["dd", "b"]]


async def test_a_closed_teachers_model_is_freed_though_its_answers_are_still_held(threads):
    engine = Lengths()
    model, backend = weakref.ref(engine), answers_of(engine, threads)
    del engine
    await backend.label([Row("ab")], Lane.ONLINE)
    await backend.close()
    gc.collect()
    assert model() is None
    # A swap that waits for the new teacher holds the old one's backend in this way.
    assert backend.needs_pairs is False
