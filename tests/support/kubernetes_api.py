"""An HTTP server that answers as the Kubernetes API does for TrainJobs and their runtimes.

It keeps what is created, refuses what it is told to refuse, and runs nothing: a test says what
becomes of a TrainJob.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PREFIX = ["apis", "trainer.kubeflow.org", "v1alpha1"]
REASONS = {
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class KubernetesApi:
    """The state of a cluster.

    Attributes:
        url: Where it answers.
        calls: The verbs and plurals called so far, as `create trainjobs`.
        failures: Codes that the next calls are answered with, by verb and plural; 0 drops the connection.
        delays: Seconds before calls are worked off, by verb and plural.
        deletions: The propagation policies of deletions.
        linger: Whether TrainJobs stay, as being deleted, until `drop`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[str] = []
        self.failures: dict[str, list[int]] = {}
        self.delays: dict[str, float] = {}
        self.deletions: list[str] = []
        self.linger = False
        self._lock = threading.RLock()
        self._version = 0
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}

    def add_runtime(self, name: str, namespace: str = "") -> None:
        """Adds a ClusterTrainingRuntime, or with a namespace a TrainingRuntime."""
        plural = "trainingruntimes" if namespace else "clustertrainingruntimes"
        self._create(plural, namespace, {"metadata": {"name": name}, "spec": {}})

    def trainjob(self, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """A TrainJob as it is stored."""
        with self._lock:
            return self._objects.get(("trainjobs", namespace, name))

    def set_status(self, name: str, namespace: str = "default", **status: Any) -> None:
        """Sets a TrainJob's status, as the controller does."""
        with self._lock:
            job = self._objects["trainjobs", namespace, name]
            job["status"] = status
            self._touch(job)

    def condition(self, name: str, type_: str, reason: str, message: str = "") -> None:
        """Sets a condition that holds."""
        condition = {"type": type_, "status": "True", "reason": reason, "message": message}
        self.set_status(name, conditions=[{**condition, "lastTransitionTime": _now()}])

    def drop(self, name: str, namespace: str = "default") -> None:
        """Makes a TrainJob gone."""
        with self._lock:
            del self._objects["trainjobs", namespace, name]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """What a request is answered with.

        Raises:
            Refused: An error.
            ConnectionError: No answer at all.
        """
        parts = urlsplit(path)
        verb = {"GET": "get", "POST": "create", "DELETE": "delete"}[method]
        plural, namespace, name = self._address(parts.path)
        self.calls.append(f"{verb} {plural}")
        time.sleep(self.delays.get(f"{verb} {plural}", 0))
        with self._lock:
            self._fail(f"{verb} {plural}")
            if verb == "create":
                return 201, self._create(plural, namespace, body)
            if not name:
                found = [value for key, value in self._objects.items() if key[:2] == (plural, namespace)]
                return 200, {"kind": "List", "items": found}
            if (plural, namespace, name) not in self._objects:
                raise Refused(404, f'{plural}.trainer.kubeflow.org "{name}" not found')
            if verb == "delete":
                self._delete(plural, namespace, name, parse_qs(parts.query))
                return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            return 200, self._objects[plural, namespace, name]

    def _address(self, path: str) -> tuple[str, str, str]:
        parts = path.strip("/").split("/")
        if parts[:3] != PREFIX:
            raise Refused(404, "the server could not find the requested resource")
        rest = parts[3:]
        namespace = ""
        if rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        return rest[0], namespace, rest[1] if len(rest) > 1 else ""

    def _fail(self, call: str) -> None:
        if not self.failures.get(call):
            return
        code = self.failures[call].pop(0)
        if code == 0:
            raise ConnectionError
        message = {403: f"service account cannot {call}", 429: "too many requests"}.get(code, "it went wrong")
        raise Refused(code, message)

    def _create(self, plural: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            name = body["metadata"]["name"]
            if (plural, namespace, name) in self._objects:
                raise Refused(409, f'{plural}.trainer.kubeflow.org "{name}" already exists')
            body["metadata"].update(uid=str(uuid.uuid4()), creationTimestamp=_now(), generation=1)
            self._touch(body)
            self._objects[plural, namespace, name] = body
            return body

    def _delete(self, plural: str, namespace: str, name: str, options: dict[str, list[str]]) -> None:
        self.deletions += options.get("propagationPolicy", ["Background"])
        if self.linger:
            self._objects[plural, namespace, name]["metadata"]["deletionTimestamp"] = _now()
        else:
            del self._objects[plural, namespace, name]

    def _touch(self, found: dict[str, Any]) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    api: KubernetesApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        try:
            code, content = self.api.answer(self.command, self.path, body)
        except Refused as error:
            code = error.code
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
            content = {**status, "message": str(error), "reason": REASONS[code], "code": code}
        except ConnectionError:
            self.close_connection = True
            return
        sent = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


@contextmanager
def running() -> Iterator[KubernetesApi]:
    """A cluster on a free loopback port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        api = KubernetesApi(f"http://127.0.0.1:{server.server_address[1]}")
        server.RequestHandlerClass = type("Handler", (_Handler,), {"api": api})
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
