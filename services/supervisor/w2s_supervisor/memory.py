"""How much memory is free for teachers."""

from __future__ import annotations

from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Bytes that a model may still take on a device: what the GPU, or the container and machine, have left."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    left = [_machine_left()]
    limit, used = (_read(_CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        left.append(limit - used)
    return max(0, min(left))


def _machine_left() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/meminfo does not say MemAvailable")


def _read(path: Path) -> int | None:
    """A cgroup's number, or None where there is no cgroup or no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
