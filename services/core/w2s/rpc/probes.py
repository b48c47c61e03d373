"""What watches a server asks over HTTP: its metrics, and whether it serves.

Kubelets probe gRPC in plaintext only, so with TLS they ask here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from w2s.errors import InvalidArgument

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEALTH_PATH = "/healthz"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """No line for each scrape."""


def start_probed_metrics(host: str, port: int, registry: CollectorRegistry, serving: Callable[[], bool]) -> WSGIServer:
    """Serves the metrics, and at `/healthz` 200 or 503, in threads of their own.

    Args:
        host: The address to listen on.
        port: The port; 0 for a free one.
        registry: The metrics.
        serving: Whether the gRPC server serves.

    Raises:
        InvalidArgument: The port is taken, or the address is none of this machine's.
    """
    metrics = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != HEALTH_PATH:
            page: Iterable[bytes] = metrics(environ, respond)
            return page
        up = serving()
        respond("200 OK" if up else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"serving\n" if up else b"not serving\n"]

    try:
        server = make_server(host, port, answer, _Server, _Silent)
    except OSError as error:
        raise InvalidArgument("metrics_port", f"cannot listen on {host}:{port}: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
