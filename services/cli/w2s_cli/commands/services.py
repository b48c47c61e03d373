"""`w2s up` and `down`: the three services on this machine, until they are told to stop."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from w2s.errors import FailedPrecondition, Unavailable
from w2s_cli.config import FILE_VARIABLE
from w2s_cli.local import SERVICES, LocalServices
from w2s_cli.shell import Json, console, failures_shown, messages, print_json, terminable, waiting

Folder = Annotated[Path, typer.Option(help="Folder of their state, artifacts and logs.")]

_FOLDER = Path("out/services")
_RECORD, _CONFIG = "running.json", "w2s.toml"
_STOP_S, _POLL_S = 60.0, 0.1


def up(
    folder: Folder = _FOLDER,
    slots: Annotated[int, typer.Option(min=1, help="Training runs at once.")] = 1,
    as_json: Json = False,
) -> None:
    """Start the three services on this machine, and leave them running."""
    with failures_shown("; what had started is stopped"), terminable():
        record = folder / _RECORD
        if any(_alive(pid, name) for name, pid in _recorded(record).items()):
            raise FailedPrecondition(f"services of {folder} run already; `w2s down --folder {folder}` stops them")
        if not as_json:
            messages().print("Starting supervisor, trainer and evaluator")
        config = folder.resolve() / _CONFIG
        with waiting("Waiting until they serve"), LocalServices(folder, slots, detached=True) as services:
            found = {
                name: {"pid": one.process.pid, "grpc": one.grpc, "metrics": one.metrics}
                for name, one in services.services.items()
            }
            record.write_text(json.dumps(found))
            addresses = {name: found[name]["grpc"] for name in SERVICES} | {"artifact_root": services.artifact_root}
            config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in addresses.items()))
        if as_json:
            print_json(found)
            return
        for name, one in found.items():
            console().print(f"{name:11s} gRPC {one['grpc']}   metrics http://{one['metrics']}/metrics", soft_wrap=True)
        console().print(f"\nexport {FILE_VARIABLE}={config}", soft_wrap=True, highlight=False)


def down(folder: Folder = _FOLDER, as_json: Json = False) -> None:
    """Stop the services that `w2s up` started; runs go on when they are up again."""
    with failures_shown():
        record = folder / _RECORD
        pids = {name: pid for name, pid in _recorded(record).items() if _alive(pid, name)}
        for pid in pids.values():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        with waiting(f"Waiting until {', '.join(sorted(pids))} have ended"):
            while any(_alive(pid, name) for name, pid in pids.items()):
                if time.monotonic() > deadline:
                    raise Unavailable(f"still running after {_STOP_S:.0f} s: {pids}")
                time.sleep(_POLL_S)
        record.unlink(missing_ok=True)
        if as_json:
            print_json({"stopped": sorted(pids)})
        else:
            console().print(f"stopped {', '.join(sorted(pids))}" if pids else f"no services of {folder} run")


def _recorded(record: Path) -> dict[str, int]:
    """The processes that `w2s up` started, by service."""
    if not record.is_file():
        return {}
    try:
        return {name: int(one["pid"]) for name, one in json.loads(record.read_text()).items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise FailedPrecondition(
            f"{record} is not what `w2s up` writes; stop the services yourself where any run, and delete it"
        ) from None


def _alive(pid: int, name: str) -> bool:
    """Whether a process is that service: after a restart of the machine the number may be another's."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return f"w2s_{name}".encode() in command and state != "Z"
