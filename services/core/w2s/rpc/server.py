"""Runs a service: sockets, health, metrics, and an end that drops no call."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import grpc.aio
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Info,
)

from w2s.errors import InvalidArgument
from w2s.provenance import code_version
from w2s.rpc.access import Access, access_of
from w2s.rpc.health import Health
from w2s.rpc.interceptors import CallInterceptor
from w2s.rpc.logs import configure_logs
from w2s.rpc.probes import start_probed_metrics
from w2s.rpc.settings import S, ServerSettings, parse_settings, refuse
from w2s.rpc.tls import server_credentials

log = logging.getLogger(__name__)

# Seconds after which a connection is closed, so that callers find the servers of a new rollout (gRFC A9).
CONNECTION_AGE_S = 30 * 60.0
# Seconds that its calls still get then: as long as our longest answer takes. Watches are taken up again.
CONNECTION_GRACE_S = 5 * 60.0


class Listener(Protocol):
    """A server beside the gRPC one, such as one for HTTP."""

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls, and gives those in flight so many seconds to end."""


class Service(Protocol):
    """What a service adds to the scaffolding."""

    @property
    def names(self) -> tuple[str, ...]:
        """The full gRPC names that it serves, its own first, such as `w2s.trainer.v1.TrainerService`."""

    def register(self, server: grpc.aio.Server) -> None:
        """Adds its servicers to the server."""

    async def start(self, health: Health, access: Access) -> Mapping[str, Listener]:
        """Makes it ready; health says SERVING of its own name once this returns.

        Args:
            health: Where it says how its further names are, now and while it serves.
            access: Who may call: one for all ports, so that a caller has one budget.

        Returns:
            What else it listens on, by the name that the address is announced under.
        """

    async def stop(self) -> None:
        """Puts its work away; called when no call is in flight any more."""


def new_registry() -> CollectorRegistry:
    """A metrics registry with the process, platform and garbage-collector figures."""
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    Info("w2s_build", "The version of the code", registry=registry).info({"version": code_version()})
    return registry


def serve(settings_type: type[S], program: str, entry: str) -> None:
    """Reads settings, imports and wires a service, and serves until SIGTERM or SIGINT (or its parent's end).

    The order at the end: health says NOT_SERVING, calls in flight get `drain_s` seconds, the
    service puts its work away. Settings that are wrong end the process with 2 and one line.

    Args:
        settings_type: The service's settings.
        program: Its name in messages.
        entry: What wires the service from its settings and the metrics registry, such as `w2s_trainer.app:TrainerApp`.
    """
    settings = parse_settings(settings_type, program)
    registry = new_registry()
    # Nothing is freed before it serves: to look for what could be takes as long as all imports.
    gc.disable()
    build: Callable[[S, CollectorRegistry], Service] = pkgutil.resolve_name(entry)
    try:
        service = build(settings, registry)
        configure_logs(settings.log_level, service.names[0])
        asyncio.run(_serve(service, settings, registry))
    except InvalidArgument as error:
        refuse(program, error.field, error.problem)


async def _serve(service: Service, settings: ServerSettings, registry: CollectorRegistry) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if settings.exit_with_parent:
        threading.Thread(target=_await_parent, args=(loop, stopping), daemon=True).start()
    access = access_of(settings)
    server, health, port = _build(service, settings, CallInterceptor(registry, access))
    metrics = start_probed_metrics(settings.host, settings.metrics_port, registry, lambda: health.serving(""))
    listeners = await service.start(health, access)
    for name in ("", service.names[0]):
        await health.set(name, True)
    await server.start()
    # What is there now stays.
    gc.freeze()
    gc.enable()
    own = {"grpc": f"{settings.host}:{port}", "metrics": f"{settings.host}:{metrics.server_port}"}
    _announce(settings, {**own, **{name: listener.address for name, listener in listeners.items()}})
    try:
        await stopping.wait()
    finally:
        log.info("draining", extra={"drain_s": settings.drain_s})
        health.shut_down()
        draining = (listener.stop(settings.drain_s) for listener in listeners.values())
        await asyncio.gather(server.stop(settings.drain_s), *draining)
        await service.stop()
        metrics.shutdown()
        log.info("stopped")


def _build(
    service: Service, settings: ServerSettings, interceptor: CallInterceptor
) -> tuple[grpc.aio.Server, Health, int]:
    server = grpc.aio.server(
        interceptors=[interceptor],
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_mib << 20),
            ("grpc.max_send_message_length", settings.max_message_mib << 20),
            ("grpc.keepalive_time_ms", 60_000),
            # Clients that ping each 30 s, as ours do, are welcome.
            ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
            ("grpc.max_connection_age_ms", int(CONNECTION_AGE_S * 1000)),
            ("grpc.max_connection_age_grace_ms", int(CONNECTION_GRACE_S * 1000)),
            # Two servers on one port would share its calls in silence.
            ("grpc.so_reuseport", 0),
        ],
    )
    service.register(server)
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        names = (*service.names, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    credentials = server_credentials(settings)
    address = f"{settings.host}:{settings.port}"
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        raise InvalidArgument("port", f"cannot listen on {address}; is it taken?") from None
    return server, health, port


def _announce(settings: ServerSettings, addresses: dict[str, str]) -> None:
    log.info("serving", extra=addresses)
    if settings.announce:
        part = Path(f"{settings.announce}.part")
        part.write_text(json.dumps(addresses))
        os.replace(part, settings.announce)


def _await_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    # Past sys.stdin: this thread would hold its lock while the interpreter ends, which is fatal.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    loop.call_soon_threadsafe(stopping.set)
