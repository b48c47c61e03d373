"""Small datasets and models in a store of a test's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.stored_models import store_classifier, store_language_model, store_reward_model
from support.supervisor import stand_in_supervisor

from w2s.artifacts import ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, LABELS_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import LabelRow, labels_table, write_completions, write_examples, write_labels, write_pairs

NAMES = ["no", "yes"]
TEACHER = ("teachers/a", "run", "sha256:" + "1" * 64)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Models this small are slower in more threads than one."""
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def examples(store):
    """Writes examples: `examples({"label": 1}, {"label": 0, "slice": "hard"})`."""

    def write(*rows, key="examples", names=NAMES):
        config = {} if names is None else {"label_names": names}
        with store.write("datasets", key, data_schema=EXAMPLES_SCHEMA, config=config) as draft:
            write_examples(draft.path, [{"id": f"e{n}", "text": f"text {n}", **row} for n, row in enumerate(rows)])
        return draft.ref

    return write


@pytest.fixture
def pairs(store):
    """Writes pairs, as `examples`."""

    def write(*rows, key="pairs"):
        with store.write("datasets", key, data_schema=PAIRS_SCHEMA, config={}) as draft:
            texts = {"prompt": "ask", "first": " one", "second": " two", "label": 0}
            write_pairs(draft.path, [{**texts, "id": f"p{n}", **row} for n, row in enumerate(rows)])
        return draft.ref

    return write


@pytest.fixture
def prompts(store):
    """Writes prompts with their completions, as `examples`."""

    def write(*rows, key="prompts"):
        with store.write("datasets", key, data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
            texts = [{"id": f"q{n}", "prompt": f"ask {n}", "completion": "yes", **row} for n, row in enumerate(rows)]
            write_completions(draft.path, texts)
        return draft.ref

    return write


@pytest.fixture
def labels(store):
    """Writes labels by example id: `labels(e0=[0.2, 0.8])`."""

    def write(key="labels", teachers=(TEACHER,), **probabilities):
        with store.write("labels", key, data_schema=LABELS_SCHEMA, config={}) as draft:
            rows = [LabelRow(id_, None, np.array(p, np.float32)) for id_, p in probabilities.items()]
            cut = -(-len(rows) // len(teachers))
            parts = [rows[at : at + cut] for at in range(0, len(rows), cut)]
            write_labels(draft.path, [labels_table(part, t) for part, t in zip(parts, teachers, strict=True)])
        return draft.ref

    return write


@pytest.fixture
def supervisor():
    with stand_in_supervisor() as found:
        yield found


@pytest.fixture
def classifier(store):
    return store_classifier(store)


@pytest.fixture
def reward(store):
    return store_reward_model(store)


@pytest.fixture
def language_model(store):
    return store_language_model(store)
