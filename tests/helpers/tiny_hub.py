"""A hub in this process: the few routes of the Hugging Face Hub that its client calls for a model."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class TinyHub:
    """Serves folders as models.

    Args:
        models: Folders by `org/name` and commit.
        branches: Commits by `org/name` and branch.
    """

    def __init__(self, models: dict[tuple[str, str], Path], branches: dict[tuple[str, str], str]) -> None:
        self.models = models
        self.branches = branches
        self.requests: list[str] = []
        # What it says of files' sizes, by name, where that is not what they have.
        self.sizes: dict[str, int] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self, body=True)

            def do_HEAD(self):
                hub.answer(self, body=False)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.requests.append(f"{request.command} {path}")
        parts = path.split("/")
        if parts[:2] == ["api", "models"]:
            status, headers, content = self._api("/".join(parts[2:4]), parts[4], "/".join(parts[5:]))
        elif parts[2:3] == ["resolve"]:
            status, headers, content = self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            status, headers, content = 404, {}, b""
        request.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(content)

    def _api(self, name: str, route: str, revision: str):
        if name not in {known for known, _ in self.models}:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        commit = self.branches.get((name, revision), revision)
        if (name, commit) not in self.models:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = [_entry(self.models[name, commit], file) for file in _files(self.models[name, commit])]
        files = [{**file, "size": self.sizes.get(file["path"], file["size"])} for file in files]
        if route == "tree":
            return 200, {}, json.dumps([{"type": "file", "oid": f["blobId"], **f} for f in files]).encode()
        return 200, {}, json.dumps({"id": name, "sha": commit, "siblings": files}).encode()

    def _file(self, name: str, revision: str, file: str):
        commit = self.branches.get((name, revision), revision)
        path = self.models[name, commit] / file
        if not path.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        content = path.read_bytes()
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, content


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(folder: Path, file: Path) -> dict:
    content, name = file.read_bytes(), file.relative_to(folder).as_posix()
    entry = {"rfilename": name, "path": name, "size": len(content)}
    entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if file.suffix in (".safetensors", ".bin"):
        entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        # The tree route calls it by its git name.
        entry["lfs"]["oid"] = entry["lfs"]["sha256"]
    return entry
