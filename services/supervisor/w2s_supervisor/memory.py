"""How much memory is free for teachers."""

from __future__ import annotations

from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")
_CACHE = ("inactive_file", "active_file")


def free_bytes(device: torch.device) -> int:
    """Bytes that a model may still take on a device: what the GPU, or the container and machine, have left."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(max(0, min(_machine_left(), cgroup_left(_CGROUP))))


def cgroup_left(folder: Path) -> float:
    """Bytes that a control group (v2) has left; infinite where it sets no limit.

    What it has read of files counts as its own until it needs the memory, weights just read
    among them: that much is left too.
    """
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return float("inf")
    return float("inf") if limit == "max" else int(limit) - int(used) + sum(int(stat.get(name, 0)) for name in _CACHE)


def _machine_left() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/meminfo does not say MemAvailable")
