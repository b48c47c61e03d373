"""What made an artifact: the code's version and the libraries it ran with."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from w2s import __version__

_LIBRARIES = ("numpy", "pyarrow", "scikit-learn", "tokenizers", "torch", "transformers")


@cache
def code_version() -> str:
    """The package version and, where known, the commit: `0.1.0+g1a2b3c4d5e6f`, `.dirty` behind
    it when the checkout differs from the commit.

    An image sets W2S_CODE_COMMIT when it is built; a checkout asks git; elsewhere the
    version stands alone.
    """
    commit = os.environ.get("W2S_CODE_COMMIT") or _git_commit()
    return f"{__version__}+g{commit}" if commit else __version__


def _git_commit() -> str:
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=.dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - fixed words
    except (OSError, subprocess.CalledProcessError):
        return ""


@cache
def environment() -> dict[str, str]:
    """Versions of Python, the machine's architecture and the libraries that decide numbers."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
