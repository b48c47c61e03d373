"""Runs of several processes on this machine, started by torchrun."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from w2s.artifacts.workspace import Workspace
from w2s_trainer.launch.local import describe_end
from w2s_trainer.settings import TrainerSettings, run_variables
from w2s_trainer.worker.order import Order
from w2s_trainer.worker.outbox import Message, OutboxReader

WORKER = "w2s_trainer.worker"
# What marks every process of a launch, whatever session it is in.
LAUNCH = "W2S_LAUNCH"

_POLL_S = 0.1


class TorchrunProcesses:
    """A run's processes, with torchrun above them.

    Args:
        run_id: The run's id.
        order: What they do; it has been given.
        workspace: The run's, where they find the order and leave messages.
        settings: The trainer's settings.
        owner: The server, which they do not outlive.
        threads: CPU threads for each of them.
        gpus: The GPUs they may use, one each; empty where there are none.
        module: What each of them runs.
    """

    def __init__(
        self,
        run_id: str,
        order: Order,
        workspace: Workspace,
        settings: TrainerSettings,
        *,
        owner: str,
        threads: int,
        gpus: Sequence[str],
        module: str = WORKER,
    ) -> None:
        self._launch = order.launch
        self._outbox = OutboxReader(workspace, order.launch)
        size = order.resources.processes
        variables = {
            **run_variables(settings),
            "W2S_CACHE_FOLDER": str(settings.cache_folder),
            "W2S_THREADS": str(threads * size),
            "W2S_OWNER": owner,
            LAUNCH: order.launch,
            "OMP_NUM_THREADS": str(threads),
            **({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}),
        }
        self._process = subprocess.Popen(  # noqa: S603 - the run id is a checked key
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"),
                *torchrun_flags(settings, module, run_id),
            ],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def messages(self) -> Iterator[Message]:
        """What rank 0 says, in order, until all have ended."""
        ended = False
        while not ended:
            # Asked before the read: what was written before the end is there now.
            ended = self._process.poll() is not None
            yield from self._outbox.new()
            if not ended:
                time.sleep(_POLL_S)

    def terminate(self) -> None:
        """Asks them to write a checkpoint and end: torchrun tells all of them."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends them at once, and whatever they have started."""
        self._process.kill()
        # Each has a session of its own.
        for pid in marked(self._launch):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> str:
        """Ends what is left of them, waits for it, and says how they ended."""
        while True:
            self.kill()
            self._process.wait()
            if not marked(self._launch):
                return describe_end(self._process.returncode)
            time.sleep(_POLL_S)


def torchrun_flags(settings: TrainerSettings, module: str, run_id: str) -> list[str]:
    """What torchrun is called with, beside the number of processes."""
    # It gives the others as long to stop as the server gives it.
    grace_s = max(1, math.ceil(settings.checkpoint_grace_s))
    return [f"--shutdown-timeout={grace_s}", "-m", module, "--run-id", run_id]


def marked(launch: str) -> list[int]:
    """The processes of a launch that have not ended: those with its token in their environment."""
    mark = f"{LAUNCH}={launch}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # Others come and go, or are not ours to look at.
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
