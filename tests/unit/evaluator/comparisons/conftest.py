"""Hand-made predictions and answers in a real store."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from support.postgres import new_database

from w2s.artifacts import ArtifactStore, Parent
from w2s.artifacts.schemas import ANSWERS_SCHEMA, PREDICTIONS_SCHEMA
from w2s.artifacts.tables import Dataset, answers_table, write_answers, write_predictions
from w2s.database import Database
from w2s_evaluator.comparisons.metrics import ComparisonMetrics
from w2s_evaluator.comparisons.published import Published
from w2s_evaluator.comparisons.service import Comparisons
from w2s_evaluator.dropped import dropped_series
from w2s_evaluator.migrations import EVALUATOR


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def predicted(store):
    """Writes predictions of two classes from the probability of the true class, class 1 at odd places."""

    def write(key, of_truth, ids=None, labels=None, classes=2, **parents):
        n = len(of_truth)
        ids = [f"e{i}" for i in range(n)] if ids is None else ids
        truth = np.array([i % 2 for i in range(n)] if labels is None else labels, dtype=np.int32)
        rest = (1 - np.array(of_truth)) / (classes - 1)
        probabilities = np.tile(rest[:, None], classes)
        probabilities[np.arange(n), truth] = of_truth
        dataset = Dataset(None, ids, ids, None, truth, [], None)
        with written(store, key, PREDICTIONS_SCHEMA, parents) as draft:
            write_predictions(draft.path, dataset, np.log(probabilities).astype(np.float32))
        return draft.ref

    return write


@pytest.fixture
def answered(store):
    """Writes answers with the scores given, shape [N, K] by scorer."""

    def write(key, references=None, **scores):
        rows = len(next(iter(scores.values())))
        ids = [f"e{i}" for i in range(rows)]
        samples = [["x"] * len(row) for row in next(iter(scores.values()))]
        with written(store, key, ANSWERS_SCHEMA, {}) as draft:
            write_answers(draft.path, answers_table(ids, references or ids, samples, scores))
        return draft.ref

    return write


def written(store, key, schema, parents):
    made_of = [Parent(role=role.split("_")[0], uri=value, digest=value) for role, value in parents.items()]
    return store.write("predictions", key, data_schema=schema, config={}, parents=made_of)


@pytest.fixture
def url(tmp_path):
    """An empty database: SQLite, or PostgreSQL where a server was started for the tests."""
    return new_database() or f"sqlite:///{tmp_path}/state.db"


class Evaluator:
    """What compares in one process, and what its metrics page says."""

    def __init__(self, url, store, limit, refresh_s):
        self.registry = CollectorRegistry()
        self.database = Database(url, EVALUATOR)
        published = Published(self.database, limit, dropped_series(self.registry), self.registry, refresh_s)
        self.comparisons = Comparisons(store, published, ComparisonMetrics(self.registry))

    async def __aenter__(self):
        await self.comparisons.start()
        return self

    async def __aexit__(self, *error):
        await self.comparisons.stop()
        self.database.close()

    @property
    def samples(self):
        """Samples by name and label values, in the order of the names of the labels."""
        found = [s for family in self.registry.collect() for s in family.samples if not s.name.endswith("_created")]
        return {
            (s.name.removeprefix("w2s_evaluator_"), *(value for _, value in sorted(s.labels.items()))): s.value
            for s in found
        }


@pytest.fixture
def evaluator(url, store):
    """Makes evaluators on one database: `async with evaluator() as one`."""
    return lambda limit=200, refresh_s=3600.0: Evaluator(url, store, limit, refresh_s)


@pytest.fixture
def ask(evaluator):
    """Makes one call of the comparisons: `await ask("compare", spec)`."""

    async def run(call, given):
        async with evaluator() as one:
            return await getattr(one.comparisons, call)(given)

    return run
