from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import stand_in_run

from w2s.artifacts import ArtifactStore
from w2s_trainer.worker.order import Order

TESTS = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def workspace(store):
    return store.workspace("models", "run")


@pytest.fixture
def order(store):
    """Makes the order of a stand-in run: `order("steps", "launch", 1)`."""

    def make(work, launch="a", attempt=1):
        return Order(launch=launch, attempt=attempt, spec=stand_in_run.spec(work, store.root))

    return make


@pytest.fixture
def start(store, tmp_path):
    """Starts a process of the run `run`, as torchrun does; its launch is `a`."""
    started = []

    def run(**variables):
        own = {
            "PYTHONPATH": str(TESTS),
            "W2S_ARTIFACT_ROOT": store.root,
            "W2S_CACHE_FOLDER": str(tmp_path / "cache"),
            "W2S_DEVICE": "cpu",
            "W2S_LAUNCH": "a",
        }
        command = [sys.executable, "-m", "support.stand_in_run", "--run-id", "run"]
        process = subprocess.Popen(
            command, env={**os.environ, **own, **variables}, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()
