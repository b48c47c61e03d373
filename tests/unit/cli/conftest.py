"""Services that start at once and do nothing, for what the command does with processes."""

from __future__ import annotations

import pytest

# Announces itself, says that it serves, and ends with its parent or by SIGTERM, as the real ones do.
IDLE = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2_grpc

server = grpc.server(ThreadPoolExecutor(2))
health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
(announcement,) = [flag.partition("=")[2] for flag in sys.argv if flag.startswith("--announce=")]
if "W2S_TEST_HANGS" in os.environ:
    server.wait_for_termination()
draft = Path(announcement + ".draft")
draft.write_text(json.dumps({"grpc": f"127.0.0.1:{port}", "metrics": "127.0.0.1:1"}))
draft.rename(announcement)
if "--exit-with-parent" in sys.argv:
    sys.stdin.read()
    os._exit(0)
server.wait_for_termination()
"""


@pytest.fixture
def idle_services(tmp_path, monkeypatch):
    """Has the commands start idle services, which do not get as far where `W2S_TEST_HANGS` is set."""
    for name in ("supervisor", "trainer", "evaluator"):
        package = tmp_path / "idle" / f"w2s_{name}"
        package.mkdir(parents=True)
        (package / "__main__.py").write_text(IDLE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "idle"))
