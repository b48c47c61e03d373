"""Requests of any content to every method: none crashes a server, hangs, or ends in INTERNAL."""

from __future__ import annotations

import json
import os

import grpc
import psutil
import pytest
from helpers.fuzz import Reflected, messages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from w2s_cli.local import SERVICES, LocalServices

# `make faults` makes ten thousand in all.
REQUESTS = int(os.environ.get("W2S_FUZZ", "90")) // len(SERVICES)
TIMEOUT_S = 20.0
# A server's own answers; a watch of a job that waits may end by the deadline that we set.
REFUSALS = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "UNIMPLEMENTED",
    "CANCELLED",
    "UNAVAILABLE",
    "DATA_LOSS",
}
GROWTH_MIB = 150


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """Services of this file's own, without the hub."""
    with LocalServices(tmp_path_factory.mktemp("fuzzed"), variables={"W2S_ALLOW_HUB": "false"}) as running:
        yield running


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SERVICES)
def test_no_request_upsets_a_service(fuzzed, name):
    running = fuzzed.services[name]
    process = psutil.Process(running.process.pid)
    with grpc.insecure_channel(running.grpc) as channel:
        server = Reflected(channel)
        bad, seen = [], set()

        @settings(
            max_examples=REQUESTS,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def ask(data):
            method = data.draw(st.sampled_from(server.methods))
            sent = data.draw(st.lists(messages(method.input_type), min_size=1, max_size=2))
            code, said = server.call(method, sent, TIMEOUT_S)
            seen.add((method.name, code))
            if code not in REFUSALS and not (code == "DEADLINE_EXCEEDED" and method.name.startswith("Watch")):
                bad.append((method.name, code, said, [part.hex() for part in sent]))

        ask()
        before = process.memory_info().rss
        ask()
    assert bad == []
    assert running.process.poll() is None
    # A few requests do not reach every method.
    assert len({method for method, _ in seen}) > min(len(server.methods) // 2, REQUESTS // 5)
    # The same requests again leave nothing behind.
    assert (process.memory_info().rss - before) >> 20 < GROWTH_MIB
    lines = [json.loads(line) for line in fuzzed.log(name).read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] == "ERROR"] == []
