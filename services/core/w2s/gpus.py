"""The GPUs of this machine, found without torch."""

from __future__ import annotations

import os
from pathlib import Path


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
        return tuple(map(str, range(devices)))
    names = [name.strip() for name in visible.split(",")]
    # CUDA takes the names up to the first that names none.
    end = next((index for index, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
    return tuple(names[:end])
