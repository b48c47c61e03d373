"""Says who executes a job, so that another server can tell that it is gone."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path


def new_owner() -> str:
    """A new owner id: `host/boot/pid namespace/pid/start time/random`, at most 255 characters.

    A pid means something in its own namespace and boot only, and is given to other processes
    later: the start time, in clock ticks since the boot, tells them apart. What the system
    does not tell is left empty.
    """
    pid = os.getpid()
    _, start = _process(pid)
    return "/".join((*_place(), str(pid), start, uuid.uuid4().hex))


def is_dead(owner: str) -> bool:
    """Whether an owner's process has surely ended; of one in another place nothing is sure.

    Args:
        owner: An id of `new_owner`.
    """
    *place, pid, start, _ = owner.split("/")
    if "" in (*place, start) or tuple(place) != _place():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        # It is another user's: it lives.
        pass
    state, started = _process(int(pid))
    # A zombie executes nothing any more, and may stay until its parent asks for it.
    return state in ("Z", "X") or started not in ("", start)


def _place() -> tuple[str, str, str]:
    # Hosts of one name have boots of their own, and containers of one host namespaces of their own.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return socket.gethostname(), boot, os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname(), "", ""


def _process(pid: int) -> tuple[str, str]:
    """The state and the start time of a process, each empty where the system does not tell.

    They are fields 3 and 22 of /proc/PID/stat, see proc_pid_stat(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", ""
    # The name, field 2, is in brackets and may hold blanks and brackets itself.
    fields = stat[stat.rindex(")") + 1 :].split()
    return fields[0], fields[19]
