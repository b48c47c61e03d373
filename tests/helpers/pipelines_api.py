"""The part of KFP's API that is called here."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Kfp(ThreadingHTTPServer):
    """Answers as KFP 2.17's API does to the calls of registration and of `w2s pipelines`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pipelines: dict[str, str] = {}
        self.versions: dict[str, list[tuple[str, bytes]]] = {}
        self.recurring: list[dict] = []
        self.runs: list[dict] = []
        self.page = 1
        self.refuses = False
        self.down = 0

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Kfp

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/healthz"):
            if self.server.down:
                self.server.down -= 1
                # As a proxy whose KFP has not started.
                return self.answer({}, 503)
            return self.answer({"multi_user": False})
        lists = {
            "recurringruns": {"recurringRuns": self.server.recurring},
            "experiments": {"experiments": [{"experiment_id": "e", "display_name": "w2s"}]},
        }
        if url.path.rpartition("/")[2] in lists:
            return self.answer(lists[url.path.rpartition("/")[2]])
        if url.path.endswith("/versions"):
            return self.answer(self.versions(url.path.split("/")[-2], query))
        if url.path.endswith("/pipelines"):
            (wanted,) = json.loads(query["filter"])["predicates"]
            # EQUALS, by its number.
            assert (wanted["operation"], wanted["key"]) == (1, "display_name")
            found = self.server.pipelines.get(wanted["stringValue"])
            return self.answer({"pipelines": [{"pipeline_id": found}]} if found else {})
        return self.answer({}, 404)

    def versions(self, pipeline, query):
        """A page of versions, few enough that there are several."""
        start = int(query.get("page_token", 0))
        names = [name for name, _ in self.server.versions[pipeline]]
        page = [{"pipeline_version_id": name, "display_name": name} for name in names[start : start + self.server.page]]
        more = start + self.server.page < len(names)
        return {"pipeline_versions": page, **({"next_page_token": str(start + self.server.page)} if more else {})}

    def do_POST(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if url.path.endswith("/recurringruns"):
            self.server.recurring.append(json.loads(body))
            return self.answer({"recurring_run_id": "r", **json.loads(body)})
        if self.server.refuses:
            return self.answer({}, 403)
        if url.path.endswith("/runs"):
            self.server.runs.append(json.loads(body))
            return self.answer({"run_id": "started", "display_name": json.loads(body)["display_name"]})
        content = re.search(rb"\r\n\r\n(.*)\r\n--", body, re.DOTALL).group(1)
        if url.path.endswith("/upload"):
            found = self.server.pipelines.setdefault(query["name"], f"id-{len(self.server.pipelines)}")
            # An upload makes a first version, named as the pipeline.
            self.server.versions.setdefault(found, []).append((query["name"], content))
            return self.answer({"pipeline_id": found, "display_name": query["name"]})
        if url.path.endswith("/upload_version"):
            self.server.versions[query["pipelineid"]].append((query["name"], content))
            return self.answer({"pipeline_id": query["pipelineid"], "pipeline_version_id": query["name"]})
        return self.answer({}, 404)

    def answer(self, value, code=200):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving():
    """A server of it for a block."""
    server = Kfp()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
