"""The three services as pods on this machine, from the images that `support.pods.images` built."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from chart.conftest import helm, render  # noqa: F401 - fixtures
from integration.conftest import client
from support.pods.cluster import Cluster
from support.pods.store import forbidden


@pytest.fixture(scope="session")
def documents(render):  # noqa: F811 - the fixture
    """The manifests that are played, as the chart renders them."""
    return render("--values", Path(__file__).parent / "values.yaml")


@pytest.fixture(scope="session")
def cluster(documents):
    if reason := forbidden():
        pytest.skip(reason)
    with Cluster(documents) as running:
        running.await_ready()
        yield running


@pytest.fixture
def connected(cluster):
    """Connects to a service from outside of its pod: `connected("trainer")`."""
    with contextlib.ExitStack() as stack:

        def connect(name):
            address = cluster.address(cluster.pod(name))
            return stack.enter_context(client(name, f"{address}:50051"))

        yield connect


@pytest.fixture
def clients(connected):
    """The services' clients."""
    return SimpleNamespace(**{name: connected(name) for name in ("trainer", "supervisor", "evaluator")})
