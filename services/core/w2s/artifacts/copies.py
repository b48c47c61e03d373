"""Local copies of folders in file systems that are not this machine's."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def fetch(fs: Any, source: str, names: Iterable[str], target: Path) -> None:
    """Copies files to a local folder, which is there once all of them are.

    What is missing shows when the copy is verified. If another reader was first, its copy stands.

    Args:
        fs: The fsspec file system.
        source: The folder in it.
        names: The files' paths below it, in plain names.
        target: The local folder.
    """
    staging = target.parent / f".{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        for name in names:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                fs.get_file(f"{source}/{name}", str(staging / name))
        try:
            staging.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
