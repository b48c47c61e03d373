"""Services as forks of a process that has imported what they import: that takes a tenth of a start and a stop.

A fork runs a module as `python -m` does, with flags, variables, standard input and error of its own. Forks of one
process hash alike, so that a service that comes back is forked from another one.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import IO, Any

_TESTS = Path(__file__).parents[1]
_CODE = struct.Struct("q")
_IMPORTED = (
    "w2s_trainer.app",
    "w2s_supervisor.app",
    "w2s.models.loading",
    "w2s_supervisor.oip.servicer",
    "w2s_supervisor.oip.http",
    "w2s_evaluator.app",
    # The last: it looks for what could be freed again.
    "w2s_trainer.preload",
)
# Every fork begins with these, and so do libraries.
_VARIABLES = dict(os.environ)
_READ_LATE = ("W2S_", "PYTEST_")
_COVERED = "COVERAGE_PROCESS_START"
_STDIN, _STDERR = 0, 2
_LAST_FD = 1024


class Fork:
    """A process that another one forked for us: what tests use of `subprocess.Popen`.

    Args:
        status: Says the process's id, and later how it ended.
        stdin: The end of its standard input that is ours.
    """

    def __init__(self, status: socket.socket, stdin: int) -> None:
        self._status = status
        self.pid = self._read()
        self.stdin = os.fdopen(stdin, "wb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has."""
        if self.returncode is None:
            if not connection.wait([self._status], timeout):
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            self.returncode = self._read()
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signals it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to stop."""
        self.send_signal(15)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(9)

    def _read(self) -> int:
        (number,) = _CODE.unpack(self._status.recv(_CODE.size))
        return int(number)


class Forker:
    """A process that forks services; it ends when this one does."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen(
                [sys.executable, "-m", "support.forks", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**_VARIABLES, "PYTHONPATH": str(_TESTS)},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start(self, module: str, flags: list[str], stderr: int) -> Fork:
        """Runs a module with flags and with the variables that this process has now, in a session of its own."""
        read, write = os.pipe()
        ours, theirs = socket.socketpair()
        request = {"module": module, "flags": flags, "variables": dict(os.environ), "cwd": os.getcwd()}
        with theirs:
            socket.send_fds(self._control, [json.dumps(request).encode()], [read, stderr, theirs.fileno()])
        os.close(read)
        return Fork(ours, write)


_forker = cache(lambda number: Forker())


def start(module: str, flags: list[str], log: IO[bytes], *, again: bool) -> Fork | subprocess.Popen[bytes]:
    """Starts a service, as a fork where that makes no difference.

    Args:
        module: What runs.
        flags: Its flags.
        log: Its standard error.
        again: Whether it comes back: then it is forked from another process.
    """
    if _COVERED in os.environ or _read_early(os.environ) != _read_early(_VARIABLES):
        command = [sys.executable, "-m", module, *flags]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, start_new_session=True)
    return _forker(int(again)).start(module, flags, log.fileno())


def _read_early(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries may have read while they were imported."""
    return {name: value for name, value in variables.items() if not name.startswith(_READ_LATE)}


def _serve(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Forks as it is asked; returns in the forks, with what was asked, and at the end."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    _tell_end(selector, key)
                    continue
                message, fds, _, _ = socket.recv_fds(control, 1 << 20, 3)
                if not message:
                    return None
                if (pid := os.fork()) == 0:
                    return json.loads(message), fds
                status = socket.socket(fileno=fds.pop())
                status.send(_CODE.pack(pid))
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))
                for fd in fds:
                    os.close(fd)


def _tell_end(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    pid, status = key.data
    selector.unregister(key.fileobj)
    os.close(key.fd)
    _, ended = os.waitpid(pid, 0)
    # Who waits for it may be gone.
    with status:
        status.send(_CODE.pack(os.waitstatus_to_exitcode(ended)), socket.MSG_NOSIGNAL)


def _become(request: dict[str, Any], fds: list[int]) -> None:
    stdin, stderr, _ = fds
    os.setsid()
    os.dup2(stdin, _STDIN)
    os.dup2(stderr, _STDERR)
    os.closerange(_STDERR + 1, _LAST_FD)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.argv = [request["module"], *request["flags"]]
    if request["module"] == "w2s_trainer":
        _fork_server()
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _fork_server() -> None:
    """Gives multiprocessing the fork server that it would start anew, which would import all again."""
    address = connection.arbitrary_address("AF_UNIX")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    alive_r, alive_w = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(alive_w)
        forkserver.main(listener.detach(), alive_r, [])
    listener.close()
    os.close(alive_r)
    own = forkserver._forkserver
    own._forkserver_address, own._forkserver_alive_fd, own._forkserver_pid = address, alive_w, pid


def main() -> None:
    """Imports what services import, then forks them as it is asked."""
    gc.disable()
    for name in _IMPORTED:
        importlib.import_module(name)
    # Forks neither look through it nor copy it.
    gc.freeze()
    if (asked := _serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        _become(*asked)


if __name__ == "__main__":
    main()
