"""Registration uploads what KFP lacks, and nothing twice."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
import yaml

from pipelines.catalog import PIPELINES
from pipelines.compile import file_of
from pipelines.register import connect, main, register

CRDS = Path(__file__).parents[4] / "shared" / "crds"


class Kfp(ThreadingHTTPServer):
    """Answers as KFP 2.17's API does to the calls that registration makes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pipelines: dict[str, str] = {}
        self.versions: dict[str, list[tuple[str, bytes]]] = {}
        self.recurring: list[dict] = []
        self.page = 1
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


@pytest.fixture
def kfp():
    server = Kfp()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_pipeline_is_there_once_however_often_it_is_registered(kfp, capsys):
    main([f"--host={kfp.host}"])
    uploaded = {name: list(versions) for name, versions in kfp.versions.items()}
    main([f"--host={kfp.host}"])
    assert kfp.versions == uploaded
    assert set(kfp.pipelines) == set(PIPELINES)
    content = file_of("weak-to-strong").read_bytes()
    version = f"sha256-{hashlib.sha256(content).hexdigest()[:16]}"
    assert kfp.versions[kfp.pipelines["weak-to-strong"]] == [("weak-to-strong", content), (version, content)]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("weak-to-strong ")]
    assert [line.split()[2] for line in said] == ["uploaded", "is"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_other_content_is_another_version_and_old_ones_are_found_on_any_page(kfp, tmp_path):
    client = connect(kfp.host, 0)
    path = tmp_path / "pipeline.yaml"
    content = file_of("weak-to-strong").read_text()
    made = []
    for text in (content, content + "\n", content + "\n\n", content):
        path.write_text(text)
        made.append(register(client, "mine", path))
    assert [one.new for one in made] == [True, True, True, False]
    assert made[0].version == made[3].version
    assert len(kfp.versions[made[0].pipeline_id]) == 1 + 3


def test_a_kfp_that_never_answers_is_named(kfp):
    kfp.down = 100
    with pytest.raises(
        SystemExit, match=rf"ERROR: register: no KFP at {kfp.host} for 0 s \(HTTP status 503\): see that"
    ):
        main([f"--host={kfp.host}", "--patience=0"])


def test_without_an_address_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    with pytest.raises(SystemExit):
        main([])
    assert "--host or KF_PIPELINES_ENDPOINT" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_recurring_run_is_made_once(kfp, capsys):
    for _ in range(2):
        main([f"--host={kfp.host}", "--recurring=delta-theory=0 0 3 * * *"])
    (made,) = kfp.recurring
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert made["pipeline_version_reference"]["pipeline_id"] == kfp.pipelines["delta-theory"]
    with pytest.raises(SystemExit, match="six fields"):
        main([f"--host={kfp.host}", "--recurring=delta-theory=0 3 * * *"])
    with pytest.raises(SystemExit, match="'nope' is unknown"):
        main([f"--host={kfp.host}", "--recurring=nope=0 0 3 * * *"])


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_objects_hold_the_compiled_pipeline_under_the_hash_of_its_content(name, tmp_path):
    main([f"--manifests={tmp_path}", "--namespace=kfp"])
    pipeline, version = yaml.safe_load_all((tmp_path / f"{name}.yaml").read_text())
    assert pipeline["metadata"] == {"name": name, "namespace": "kfp"}
    digest = hashlib.sha256(file_of(name).read_bytes()).hexdigest()[:16]
    assert version["metadata"] == {"name": f"{name}-{digest}", "namespace": "kfp"}
    assert version["spec"]["pipelineName"] == name
    assert version["spec"]["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]["seeds"]["defaultValue"]
    if not CRDS.is_dir():
        pytest.skip("the CRDs to validate against are not here")
    for found, file in ((pipeline, "pipelines"), (version, "pipelineversions")):
        crd = yaml.safe_load((CRDS / f"pipelines.kubeflow.org_{file}.yaml").read_text())
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        jsonschema.validate(found, schema)
