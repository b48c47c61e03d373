"""Writes what each image installs: `python services/lock.py`, with the package index at hand.

A lock names exact versions, as constraints.txt has them, and the hashes of their files. A service's names what
it adds to services/core/requirements.lock, so that the images of the services share a layer with torch in it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = ROOT / "services" / "core"
SERVICES = ("supervisor", "trainer", "evaluator")

# What the CUDA build of torch brings. The lock of its CPU build is kept by hand: see there.
_CUDA = re.compile(r"(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==")
_OURS = re.compile(r"(file://|/|w2s-)")


def main() -> None:
    """Writes them all, but that of torch's CPU build."""
    core = _locked(f"{CORE}[models,server]")
    _write(CORE / "torch-cuda.lock", [package for package in core if _CUDA.match(package)])
    _write(CORE / "requirements.lock", [package for package in core if not _CUDA.match(package)])
    for name in SERVICES:
        packages = _locked(str(CORE), str(ROOT / "services" / name))
        _write(ROOT / "services" / name / "requirements.lock", [each for each in packages if each not in core])
    client = [str(CORE), str(ROOT / "pipelines"), str(ROOT / "services" / "cli")]
    _write(ROOT / "pipelines" / "requirements.lock", _locked(*client))
    _write(CORE / "build.lock", _locked(*(CORE / "build.in").read_text().splitlines(), constraints=()))


def _locked(*requirements: str, constraints: tuple[str, ...] = (f"--constraint={ROOT}/constraints.txt",)) -> list[str]:
    """The packages that requirements come to, each with the hashes of its files."""
    flags = ["--generate-hashes", "--no-annotate", "--no-header", "--python-version=3.11", "--python-platform=linux"]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", *flags, *constraints, "-"]
    ended = subprocess.run(  # noqa: S603 - uv, on our own files
        command, input="\n".join(requirements), stdout=subprocess.PIPE, text=True, check=True
    )
    packages = re.split(r"\n(?=\S)", ended.stdout.strip())
    return [package for package in packages if not _OURS.match(package)]


def _write(path: Path, packages: list[str]) -> None:
    path.write_text("\n".join(["# Written by `make lock`.", *packages]) + "\n")


if __name__ == "__main__":
    main()
