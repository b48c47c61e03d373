"""A small classifier over features, which the loop can train in milliseconds."""

from __future__ import annotations

import pytest
from support import small_training


@pytest.fixture
def words():
    return small_training.words


@pytest.fixture
def course():
    return small_training.course


@pytest.fixture
def checkpoints(tmp_path):
    def make(name="run", keep=2):
        return small_training.checkpoints(tmp_path, name, keep)

    return make


@pytest.fixture
def train(checkpoints):
    """Trains a fresh reader and returns it with its outcome and what was reported."""

    def run(*args, name="run", **options):
        return small_training.train(checkpoints(name), *args, **options)

    return run


@pytest.fixture
def cross_entropy():
    return small_training.CrossEntropy()


@pytest.fixture
def confidence():
    return small_training.Confidence()


@pytest.fixture
def calm():
    return small_training.Calm
