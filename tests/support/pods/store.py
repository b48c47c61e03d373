"""Where images and pods are kept: a containers storage of the tests' own, and how podman and buildah find it."""

from __future__ import annotations

import functools
import os
import resource
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "w2s" / "pods"
_RUN = Path("/run/w2s-pods")

_STORAGE = f"""\
[storage]
driver = "overlay"
graphroot = "{CACHE}/storage"
runroot = "{_RUN}/storage"
"""
# Limits that a process without CAP_SYS_RESOURCE may set; podman's own defaults are the kernel's highest.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "{run}/libpod"
[network]
network_config_dir = "{cache}/networks"
"""


@functools.cache
def environment() -> dict[str, str]:
    """The variables that podman and buildah are run with."""
    CACHE.mkdir(parents=True, exist_ok=True)
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20_000)
    # More is refused to a container whose user has other processes.
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1] // 4
    (CACHE / "storage.conf").write_text(_STORAGE)
    (CACHE / "containers.conf").write_text(
        _CONTAINERS.format(files=files, processes=max(processes, 1024), run=_RUN, cache=CACHE)
    )
    return {
        **os.environ,
        "CONTAINERS_CONF": f"{CACHE}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{CACHE}/storage.conf",
        "BUILDAH_ISOLATION": "chroot",
        # Layers pass through it on their way into the storage.
        "TMPDIR": "/dev/shm",
    }


def forbidden() -> str:
    """Why this machine's kernel runs no pods; empty where it does."""
    if os.geteuid() != 0:
        return "only root may make a root file system and a bridge"
    probe = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork"]
    script = "ip link add w2s-probe type bridge && ip link add w2s-one type veth peer name w2s-two"
    ended = subprocess.run([*probe, "sh", "-c", script], capture_output=True, text=True, check=False)
    return f"the kernel gives no namespaces, bridges or veth pairs: {ended.stderr.strip()}" if ended.returncode else ""


def place_of(volume: str) -> Path:
    """Where a volume's files lie on this machine."""
    return CACHE / "storage" / "volumes" / volume / "_data"


def podman(*arguments: str, text: str | None = None, check: bool = True) -> str:
    """Runs podman, and returns what it printed."""
    ended = subprocess.run(
        ["podman", *arguments], input=text, capture_output=True, text=True, env=environment(), check=False
    )
    assert not check or ended.returncode == 0, (arguments, ended.stderr[-3000:])
    return ended.stdout
