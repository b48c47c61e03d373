"""One small demo, shared by the tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import TINY, start

from w2s_cli.local import LocalServices


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """One small demo with two seeds, and a method that its models cannot learn by: its folder, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    process = start("demo", f"--out={out}", "--seeds=3,4", "--methods=naive,confidence,generative", *TINY)
    printed, _ = process.communicate(timeout=280)
    assert process.returncode == 0, printed
    return out, printed


@pytest.fixture(scope="module")
def supervisor(demo):
    """The address of the demo's supervisor, up again with the demo's state."""
    services = LocalServices(demo[0] / "services")
    try:
        yield services.start("supervisor").grpc
    finally:
        services.stop()
