"""Ends a process that nobody waits for any more."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from w2s.artifacts.workspace import Workspace
from w2s.jobs.owner import is_dead
from w2s_trainer.worker.order import read_order

log = logging.getLogger(__name__)

_PARENT_S = 1.0
_LAUNCH_S = 2.0


def leave_with_parent(owner: str) -> None:
    """Ends this process within seconds of its parent's end, or of its server's.

    Args:
        owner: The server, as `w2s.jobs.owner` names it; empty where it has none here.
    """
    parent = os.getppid()
    _leave_once(lambda: os.getppid() != parent or (owner != "" and is_dead(owner)), _PARENT_S)


def leave_with_launch(workspace: Workspace, launch: str) -> None:
    """Ends this process within seconds of a later launch of its run, or of the run's end."""

    def over() -> bool:
        try:
            order = read_order(workspace)
        except Exception as error:
            # Whatever a store raises: one that is away says nothing about the launch.
            log.warning("the run's order could not be read", extra={"reason": str(error)})
            return False
        # What a run leaves is cleared away once nobody waits for its processes any more.
        return order is None or order.launch != launch

    _leave_once(over, _LAUNCH_S)


def leave_now() -> None:
    """Ends this process and those it started that share its process group."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _leave_once(over: Callable[[], bool], every_s: float) -> None:
    def watch() -> None:
        while not over():
            time.sleep(every_s)
        leave_now()

    threading.Thread(target=watch, daemon=True, name="vigil").start()
