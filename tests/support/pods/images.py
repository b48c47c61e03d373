"""Builds the images on a base that is bootstrapped here: `python -m support.pods.images`.

Needs Debian's mmdebstrap and buildah. What did not change since the last run is in buildah's cache.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from support.pods.store import CACHE, environment, forbidden

ROOT = Path(__file__).parents[3]
TAG = "e2e"
# Renamed when what it is made of changes.
_BASE = "localhost/w2s/base:bookworm-2"
_PACKAGES = "python3,python3-venv,ca-certificates"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def build_all() -> None:
    """Builds the base, unless it is there, and the four images."""
    exists = subprocess.run(["buildah", "inspect", _BASE], env=environment(), capture_output=True, check=False)
    if exists.returncode:
        _build_base()
    flags = [f"--build-arg BASE_IMAGE={_BASE}", "--quiet", *_torch_index()]
    command = ["make", "images", f"TAG={TAG}", f"IMAGE_FLAGS={' '.join(flags)}"]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)
    # What no build has come by for a week.
    subprocess.run(["podman", "image", "prune", "--force", "--filter=until=168h"], env=environment(), check=True)


def _build_base() -> None:
    """Debian with Python, which trusts whom this machine trusts."""
    trusted = f"--customize-hook=copy-in {_CERTIFICATES} {Path(_CERTIFICATES).parent}"
    options = ["--variant=minbase", "--dpkgopt=force-unsafe-io", f"--include={_PACKAGES}", trusted, "--quiet"]
    variables = [f"--change=ENV {name}={_CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
    with tempfile.TemporaryDirectory(prefix="w2s-base-", dir=environment()["TMPDIR"]) as folder:
        subprocess.run(["mmdebstrap", *options, "bookworm", f"{folder}/base.tar"], check=True)
        command = ["podman", "import", "--quiet", *variables, f"{folder}/base.tar", _BASE]
        subprocess.run(command, env=environment(), check=True)


def _torch_index() -> list[str]:
    """Flags for an index of the CPU build of torch that pip finds; none where it finds none but the public one."""
    index = CACHE / "index"
    folder = index / "torch"
    if not list(folder.glob("*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            f"--dest={folder}",
            "torch==2.13.0+cpu",
        ]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return []
        links = [f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>' for wheel in folder.glob("*.whl")]
        (folder / "index.html").write_text("\n".join(links))
    return ["--build-arg CPU_INDEX=file:///index", f"--volume {index}:/index:ro"]


if __name__ == "__main__":
    # The tests say why they are skipped.
    if not forbidden():
        build_all()
