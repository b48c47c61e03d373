"""A disk that is slow for one process: the kernel makes its calls later, as `strace` tells it to."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import pytest

# What waits for a disk, and what SQLite writes its pages by. Not `write`, by which threads wake each other.
_CALLS = "fsync,fdatasync,pwrite64,ftruncate,rename"


@contextlib.contextmanager
def slow_disk(pids: Sequence[int], seconds: float = 0.2) -> Iterator[None]:
    """Makes each of some processes' calls to a disk take longer, and of what they start, for a block."""
    if shutil.which("strace") is None:
        pytest.skip("needs Debian's strace, for a disk that a test can slow down")
    inject = f"inject={_CALLS}:delay_enter={round(seconds * 1e6)}"
    command = ["strace", "-f", *(f"--attach={pid}" for pid in pids), "-e", f"trace={_CALLS}", "-e", inject]
    with subprocess.Popen([*command, "-o", "/dev/null"], stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stderr is not None
            attached = tracer.stderr.readline()
            assert "attached" in attached, attached
            yield
        finally:
            # It lets go of them, and they go on.
            tracer.terminate()
            tracer.communicate()
