"""The three services on this machine, for the demo, notebooks and tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.client import Endpoints, connect
from w2s.errors import Unavailable

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0
# Who presses Ctrl-C does not wait for a checkpoint: a run goes on from its last one.
_INTERRUPT_TIMEOUT_S = 1.0
_POLL_S = 0.05

# Started in this order: the evaluator is told where the supervisor is.
SERVICES = ("trainer", "supervisor", "evaluator")
_PORTS: dict[str, list[str]] = {"trainer": [], "supervisor": ["--http-port=0"], "evaluator": ["--events-port=0"]}


@dataclass
class Running:
    """A service's process and its addresses, `host:port`."""

    process: subprocess.Popen[bytes]
    grpc: str = ""
    metrics: str = ""
    events: str = ""


class LocalServices:
    """Starts the services on free loopback ports; use as a context manager.

    They stop when the block ends and when this process does, however it does: each reads a
    pipe that only this process holds open.

    Args:
        folder: Where state, artifacts, caches and logs go.
        slots: Training runs at once.
        variables: More environment for every service, such as `W2S_DEVICE`.
        detached: They go on when this process ends; leave the block otherwise than by its end, and they stop.
    """

    def __init__(
        self, folder: Path, slots: int = 1, variables: dict[str, str] | None = None, *, detached: bool = False
    ) -> None:
        self.folder = folder.resolve()
        self._detached = detached
        self._variables = {
            "W2S_ARTIFACT_ROOT": self.artifact_root,
            "W2S_CACHE_FOLDER": str(self.folder / "cache"),
            "W2S_SLOTS": str(slots),
            **(variables or {}),
        }
        self.services: dict[str, Running] = {}

    @property
    def artifact_root(self) -> str:
        """The artifact store that the services share."""
        return str(self.folder / "artifacts")

    @property
    def endpoints(self) -> Endpoints:
        """Where the services are."""
        return Endpoints(**{name: self.services[name].grpc for name in SERVICES})

    def environment(self) -> dict[str, str]:
        """The variables that a client, such as a pipeline step, finds the services by."""
        return {**self.endpoints.environment(), "W2S_ARTIFACT_ROOT": self.artifact_root}

    def __enter__(self) -> LocalServices:
        try:
            for name in SERVICES:
                self._spawn(name)
            for name in SERVICES:
                self._await(name)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._detached:
            return
        self.stop(_INTERRUPT_TIMEOUT_S if kind is KeyboardInterrupt else _STOP_TIMEOUT_S)

    def start(self, name: str) -> Running:
        """Starts one service and waits until it serves; a stopped one comes back with its state."""
        self._spawn(name)
        return self._await(name)

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Stops the services, with so many seconds to drain."""
        processes = [running.process for running in self.services.values()]
        until = time.monotonic() + timeout_s
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            # A service leads its group, in which a fork server may still be importing.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                process.stdin.close()

    def log(self, name: str) -> Path:
        """Where a service logs."""
        return self.folder / f"{name}.log"

    def _spawn(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._announcement(name).unlink(missing_ok=True)
        variables = {**os.environ, **self._variables, "W2S_DATABASE_URL": f"sqlite:///{self.folder / name}.db"}
        if name == "evaluator":
            variables["W2S_SUPERVISOR_ADDRESS"] = self._await("supervisor").grpc
        command = [sys.executable, "-m", f"w2s_{name}", "--port=0", "--metrics-port=0", "--reflection"]
        command += [*_PORTS[name], f"--announce={self._announcement(name)}"]
        command += [] if self._detached else ["--exit-with-parent"]
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
                command,
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=variables,
                # Ctrl-C is for the command, which then stops its services in order.
                start_new_session=True,
            )
        self.services[name] = Running(process)

    def _await(self, name: str) -> Running:
        running = self.services[name]
        if not running.grpc:
            addresses = json.loads(self._wait_for(running, name, self._announcement(name)))
            running.grpc, running.metrics = addresses["grpc"], addresses["metrics"]
            running.events = addresses.get("events", "")
            with connect(running.grpc) as channel:
                request = health_pb2.HealthCheckRequest()
                status = (
                    health_pb2_grpc.HealthStub(channel)
                    .Check(  # type: ignore[attr-defined]
                        request, timeout=_START_TIMEOUT_S
                    )
                    .status
                )
            if status != health_pb2.HealthCheckResponse.SERVING:
                raise Unavailable(f"the {name} does not serve; its log is {self.log(name)}")
        return running

    def _wait_for(self, running: Running, name: str, path: Path) -> str:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not path.exists():
            if running.process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"the {name} did not start: {_last_line(self.log(name))}")
            time.sleep(_POLL_S)
        return path.read_text()

    def _announcement(self, name: str) -> Path:
        return self.folder / f"{name}.json"


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets variables of this process for a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it logged nothing"
