"""A process of a run that torchrun started, here or in a pod: `python -m w2s_trainer.worker --run-id ID`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import NoReturn

from w2s.artifacts import ArtifactStore
from w2s_trainer.settings import RunSettings
from w2s_trainer.worker.context import Execute
from w2s_trainer.worker.order import read_order
from w2s_trainer.worker.outbox import WorkspaceOutbox
from w2s_trainer.worker.vigil import leave_with_launch, leave_with_parent


def run(execute: Execute | None = None) -> NoReturn:
    """Executes what the launch ordered, and ends the process.

    The settings are in W2S_* variables, the launch is in W2S_LAUNCH, the server to end with,
    where it is on this machine, in W2S_OWNER; torchrun sets RANK and the like.

    Args:
        execute: The work; the trainer's own by default.
    """
    parser = argparse.ArgumentParser(prog="w2s-worker", description="A process of a run, started by a launcher.")
    parser.add_argument("--run-id", required=True, help="The run's id")
    run_id = parser.parse_args().run_id
    leave_with_parent(os.environ.get("W2S_OWNER", ""))
    settings = RunSettings()  # type: ignore[call-arg]  # from the environment
    workspace = ArtifactStore(settings.artifact_root).workspace("models", run_id)
    launch = os.environ["W2S_LAUNCH"]
    order = read_order(workspace)
    outbox = WorkspaceOutbox(workspace, launch)
    if order is None or order.launch != launch or outbox.ended:
        sys.exit("this launch of the run is over")
    leave_with_launch(workspace, launch)
    if execute is None:
        importlib.import_module("w2s_trainer.preload")
    # It imports torch: as the above does, in half the time.
    from w2s_trainer.worker.main import main  # noqa: PLC0415

    threads = max(1, (settings.threads or os.cpu_count() or 1) // _torchrun("LOCAL_WORLD_SIZE", 1))
    rank, world = _torchrun("RANK", 0), _torchrun("WORLD_SIZE", 1)
    sys.exit(main(run_id, order, settings, outbox, threads=threads, rank=rank, world=world, execute=execute))


def _torchrun(name: str, alone: int) -> int:
    """A variable of torchrun's, or its value for a process on its own."""
    return int(os.environ.get(name, alone))


if __name__ == "__main__":
    run()
