"""Probes, as a kubelet asks them."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.pods.manifests import Json, Pod
from support.pods.store import podman


def holds(probe: Json, pod: Pod, address: str) -> bool:
    """Whether a probe succeeds now."""
    (kind,) = _KINDS.keys() & probe.keys()
    return _KINDS[kind](probe[kind], pod, address, probe.get("timeoutSeconds", 1))


def _grpc(probe: Json, pod: Pod, address: str, timeout_s: float) -> bool:
    with grpc.insecure_channel(f"{address}:{pod.port(probe['port'])}") as channel:
        request = health_pb2.HealthCheckRequest(service=probe.get("service", ""))
        try:
            said = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError:
            return False
    return said.status == health_pb2.HealthCheckResponse.SERVING


def _http(probe: Json, pod: Pod, address: str, timeout_s: float) -> bool:
    url = f"http://{address}:{pod.port(probe['port'])}{probe.get('path', '/')}"
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return response.status < 400
    except (urllib.error.URLError, OSError):
        return False


def _tcp(probe: Json, pod: Pod, address: str, timeout_s: float) -> bool:
    try:
        socket.create_connection((address, pod.port(probe["port"])), timeout_s).close()
    except OSError:
        return False
    return True


def _exec(probe: Json, pod: Pod, address: str, timeout_s: float) -> bool:
    said = podman(
        "exec", pod.container, "sh", "-c", '"$@" > /dev/null 2>&1 && echo yes', "-", *probe["command"], check=False
    )
    return said.strip() == "yes"


_KINDS: dict[str, Callable[[Json, Pod, str, float], bool]] = {
    "grpc": _grpc,
    "httpGet": _http,
    "tcpSocket": _tcp,
    "exec": _exec,
}
