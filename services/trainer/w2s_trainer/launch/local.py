"""Runs of one process, forked from a clean one that has torch imported already."""

from __future__ import annotations

import contextlib
import json
import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait

from w2s.artifacts import ArtifactStore
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.worker.context import Execute
from w2s_trainer.worker.order import Order
from w2s_trainer.worker.outbox import Message, PipeOutbox
from w2s_trainer.worker.vigil import leave_now, leave_with_launch

# What a fork of the clean process has imported already.
PRELOADED = ["w2s_trainer.preload"]

# Executes an order in the process that it is called in, with the run's id, settings and threads, and ends it.
Child = Callable[[Connection, str, Order, TrainerSettings, int, Sequence[str]], None]


class ForkServer:
    """Starts processes that need not import torch.

    Args:
        settings: The trainer's settings.
        child: What a process does.
    """

    def __init__(self, settings: TrainerSettings, child: Child) -> None:
        self._settings = settings
        self._child = child
        # A fork of this server would copy its threads' locks; the fork server has none.
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()

    def start(self, run_id: str, order: Order, threads: int, gpus: Sequence[str]) -> ForkedProcess:
        """Starts a process for a run.

        Args:
            run_id: The run's id.
            order: What it does.
            threads: CPU threads it may use.
            gpus: The GPUs it may use; empty where there are none.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._child, args=(theirs, run_id, order, self._settings, threads, gpus), name=f"run-{run_id}"
        )
        process.start()
        theirs.close()
        return ForkedProcess(process, ours)


class ForkedProcess:
    """A run's process, with a session of its own.

    Args:
        process: The process.
        connection: Our end of its pipe; the process ends when this closes.
    """

    def __init__(self, process: mp.context.ForkServerProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection

    def messages(self) -> Iterator[Message]:
        """What it says, in order, until it has ended."""
        while True:
            # Its own children may hold the pipe open after its end.
            wait([self._connection, self._process.sentinel])
            try:
                if not self._connection.poll():
                    return
                yield json.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                return

    def terminate(self) -> None:
        """Asks it to write a checkpoint and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it at once, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        # It may not have a process group yet.
        self._process.kill()

    def close(self) -> str:
        """Ends what is left of it, waits for it, and says how it ended."""
        # Let an end of its own come first: it says what it died of.
        self._process.join(0.1)
        self.kill()
        self._process.join()
        self._connection.close()
        return describe_end(self._process.exitcode)

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid


def describe_end(code: int | None) -> str:
    """How a process ended, by its exit code, or minus the signal that killed it."""
    if code is None or code >= 0:
        return f"ended with code {code}"
    hint = ", as the system does when memory is short" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code}{hint}"


def child(
    connection: Connection,
    run_id: str,
    order: Order,
    settings: TrainerSettings,
    threads: int,
    gpus: Sequence[str],
    execute: Execute | None = None,
) -> None:
    """What a run's process does; returns never.

    Args:
        connection: The pipe to the server; the process ends when the server's end closes.
        run_id: The run's id.
        order: What to do.
        settings: The trainer's settings.
        threads: CPU threads it may use.
        gpus: The GPUs it may use; empty where there are none.
        execute: The work; the trainer's own by default.
    """
    _prepare(connection, gpus)
    # A server that is frozen keeps its end of the pipe open.
    leave_with_launch(ArtifactStore(settings.artifact_root).workspace("models", run_id), order.launch)
    # Imported in the child only: the server needs no torch, and the fork server has it already.
    from w2s_trainer.worker.main import main  # noqa: PLC0415

    sys.exit(main(run_id, order, settings, PipeOutbox(connection), threads=threads, execute=execute))


def _prepare(connection: Connection, gpus: Sequence[str]) -> None:
    """Makes a forked process leader of a session, sees that no run outlives its server, and names its GPUs."""
    os.setsid()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    threading.Thread(target=_leave_with_server, args=(connection,), daemon=True, name="vigil").start()


def _leave_with_server(connection: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        connection.recv_bytes()
    # No run outlives its server: the next one starts it again.
    leave_now()
