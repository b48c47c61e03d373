from __future__ import annotations

import grpc
import httpx
import pytest
from helpers.oip import RuleDesk, oip_thread

from w2s_supervisor.oip.sdk import pb_grpc


@pytest.fixture(scope="session")
def _served():
    with oip_thread(RuleDesk()) as served:
        yield served


@pytest.fixture
def served(_served):
    """Servers over a desk of a few teachers, none of them loaded."""
    _served.desk.reset()
    return _served


@pytest.fixture
def desk(served):
    return served.desk


@pytest.fixture
def stub(served):
    with grpc.insecure_channel(served.grpc) as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.http) as client:
        yield client
