"""A text-generation server for tests: TGI's and OpenAI's HTTP interfaces over a toy model.

It does over real HTTP what such servers do, their traps included, with probabilities that a
test can compute (`language.ToyModel`). `switches.Switches` says what it can be made to do.

    with running() as (url, control):
        control(prefill_logprobs=True)      # sets switches, and tells what was seen
        seen = control()["requests"]
        control(fresh=True)                 # all as at the start
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

_TESTS = Path(__file__).parents[2]
_START_S = 60.0


class Control(Protocol):
    """Sets switches and returns the journal."""

    def __call__(self, **switches: Any) -> dict[str, Any]: ...


class Server(NamedTuple):
    """A server that runs: its address, and the way to control it."""

    url: str
    control: Control


@contextlib.contextmanager
def running(port: int = 0, **switches: Any) -> Iterator[Server]:
    """Runs a server in a process of its own, for a block.

    Args:
        port: Its port on 127.0.0.1; a free one when 0.
        switches: Set before the block begins.
    """
    with tempfile.TemporaryDirectory() as folder:
        announce = Path(folder, "port")
        paths = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", __name__, "--port", str(port), "--announce", str(announce)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})
        try:
            server = _server(process, announce)
            server.control(**switches)
            yield server
        finally:
            process.terminate()
            process.wait()


def _server(process: subprocess.Popen[bytes], announce: Path) -> Server:
    deadline = time.monotonic() + _START_S
    while not announce.exists():
        assert process.poll() is None, f"the server ended with {process.returncode}"
        assert time.monotonic() < deadline, f"the server did not start within {_START_S} s"
        time.sleep(0.02)
    url = f"http://127.0.0.1:{announce.read_text()}"

    def control(**switches: Any) -> dict[str, Any]:
        body = json.dumps(switches).encode()
        request = urllib.request.Request(f"{url}/control", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    return Server(url, control)
