"""The three services as pods on this machine, from the images that `support.pods.images` built."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from chart.conftest import helm, render  # noqa: F401 - fixtures
from integration.conftest import client
from support.pods import manifests
from support.pods.cluster import Cluster
from support.pods.store import forbidden

VALUES = Path(__file__).parent / "values.yaml"


@pytest.fixture(scope="session")
def documents(render):  # noqa: F811 - the fixture
    """The manifests that are played, as the chart renders them."""
    return render("--values", VALUES)


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


@pytest.fixture
def registered(cluster, clients, render):  # noqa: F811 - the fixture
    """Registers a teacher, and activates it, as the chart's hook does for those that its values name."""

    def register(name, model):
        values = [{"id": name, "uri": model.uri, "activate": True}]
        objects = render("--values", VALUES, f"--set-json=supervisor.teachers={json.dumps(values)}")
        code, said = cluster.complete(manifests.hook(objects, "w2s-register-teachers"))
        assert code == 0, said
        (teacher,) = clients.supervisor.ListTeachers(page_size=10).teachers
        return teacher

    return register
