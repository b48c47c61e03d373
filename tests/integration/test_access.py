"""A server with TLS and tokens, in a process of its own, and clients as the environment makes them."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import httpx2 as httpx
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from helpers.certificates import Authority

from w2s.client import connect
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s.trainer.v1 import trainer_pb2_grpc

from .conftest import Server

TINY = Path(__file__).parents[1] / "helpers" / "tiny_service.py"
SETTINGS = ("--artifact-root=artifacts", "--database-url=sqlite:///state.db", "--port=0", "--metrics-port=0")
READER, OPERATOR, ADMIN = "r" * 22, "o" * 22, "a" * 22


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def start(tmp_path, eventually):
    """Starts a tiny service with flags; returns its addresses."""
    processes = []

    def start(*flags):
        announcement = tmp_path / "announced.json"
        command = [sys.executable, str(TINY), *SETTINGS, f"--announce={announcement}", *flags]
        with (tmp_path / "server.log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, cwd=tmp_path)
        processes.append(process)
        eventually(lambda: announcement.exists() or process.poll() is not None)
        return json.loads(announcement.read_text())

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"ann reader {READER}\noli operator {OPERATOR}\nada admin {ADMIN}\n")
    return path


@pytest.fixture
def call(monkeypatch):
    """A call as a client makes it whose environment is this."""

    def call(target, method="GetRun", request=pb.GetRunRequest(name="runs/a"), timeout=5, **variables):  # noqa: B008
        for name in ("SERVER_CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE", "TOKEN", "TOKEN_FILE"):
            monkeypatch.delenv(f"W2S_{name}", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(f"W2S_{name}", str(value))
        # Certificates are for localhost by name.
        with connect(target.replace("127.0.0.1", "localhost")) as channel:
            return getattr(trainer_pb2_grpc.TrainerServiceStub(channel), method)(request, timeout=timeout)

    return call


def healthy(addresses):
    try:
        with urllib.request.urlopen(f"http://{addresses['metrics']}/healthz", timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def audited(log):
    """A log's lines of calls that may change something."""
    # gRPC's own library has lines of its own for failed handshakes.
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "w2s.audit"]


def test_tokens_over_tls(start, authority, tokens, call, tmp_path, refused, eventually):
    certificate, key = authority.issue("server")
    addresses = start(f"--tls-cert-file={certificate}", f"--tls-key-file={key}", f"--tokens-file={tokens}")
    target, ca = addresses["grpc"], authority.file
    assert call(target, SERVER_CA_FILE=ca, TOKEN=READER).name == "runs/a"
    with refused("UNAUTHENTICATED", words="show a token"):
        call(target, SERVER_CA_FILE=ca)
    with refused("PERMISSION_DENIED", words="ann is reader"):
        call(target, "CreateRun", pb.CreateRunRequest(), SERVER_CA_FILE=ca, TOKEN=READER)
    file = tmp_path / "token"
    file.write_text(f"{OPERATOR}\n")
    with refused("INVALID_ARGUMENT", words="run: is required"):
        call(target, "CreateRun", pb.CreateRunRequest(), SERVER_CA_FILE=ca, TOKEN_FILE=file)
    # Plaintext gets nowhere, and kubelets still see that it lives.
    with pytest.raises(grpc.RpcError):
        call(target, timeout=1, TOKEN=READER)
    assert healthy(addresses) == 200
    assert [(line["principal"], line["code"]) for line in audited(tmp_path / "server.log")] == [
        ("ann", "PERMISSION_DENIED"),
        ("oli", "INVALID_ARGUMENT"),
    ]
    log = (tmp_path / "server.log").read_text()
    assert READER not in log
    assert OPERATOR not in log


def test_certificates_are_renewed_while_the_server_runs(start, authority, call, tmp_path, eventually):
    certificate, key = authority.issue("server")
    target = start(f"--tls-cert-file={certificate}", f"--tls-key-file={key}")["grpc"]
    assert call(target, SERVER_CA_FILE=authority.file).name == "runs/a"
    later = Authority(tmp_path, "later")
    later.issue("server")

    def renewed():
        try:
            return call(target, SERVER_CA_FILE=later.file).name == "runs/a"
        except grpc.RpcError:
            return False

    eventually(renewed)
    with pytest.raises(grpc.RpcError):
        call(target, timeout=1, SERVER_CA_FILE=authority.file)


def test_mutual_tls_asks_for_a_certificate_of_the_ca_of_the_moment(start, authority, call, tmp_path, eventually):
    certificate, key = authority.issue("server")
    clients = Authority(tmp_path, "clients")
    flags = (f"--tls-cert-file={certificate}", f"--tls-key-file={key}", f"--tls-client-ca-file={clients.file}")
    target = start(*flags)["grpc"]

    def taken(*shown, timeout=1):
        files = dict(zip(("CLIENT_CERT_FILE", "CLIENT_KEY_FILE"), shown, strict=False))
        try:
            return call(target, timeout=timeout, SERVER_CA_FILE=authority.file, **files).name == "runs/a"
        except grpc.RpcError:
            return False

    own = clients.issue("client")
    assert taken(*own, timeout=10)
    assert not taken()
    assert not taken(*Authority(tmp_path, "strangers").issue("stranger"))
    later = Authority(tmp_path, "clients").issue("later")
    eventually(lambda: taken(*later))
    assert not taken(*own)


@pytest.mark.parametrize(
    ("service", "method", "port", "flag", "path", "status"),
    [
        ("supervisor", "SupervisorService/ListTeachers", "http", "--http-tls", "/v2/repository/models/a/load", 404),
        ("evaluator", "EvaluatorService/ListEvaluations", "events", "--events-tls", "/", 400),
    ],
)
def test_http_is_secured_like_grpc(authority, tokens, tmp_path, eventually, service, method, port, flag, path, status):
    certificate, key = authority.issue("server")
    server = Server(service, tmp_path, tmp_path / "artifacts")
    trusted = ssl.create_default_context(cafile=authority.file)

    def post(token, scheme="https"):
        url, shown = f"{scheme}://{server.addresses[port]}{path}", {"Authorization": f"Bearer {token}"}
        return httpx.post(url, headers=shown, verify=trusted, trust_env=False).status_code

    try:
        files = (f"--tls-cert-file={certificate}", f"--tls-key-file={key}", f"--tokens-file={tokens}")
        server.start(flag, *files, "--max-calls-per-s=0.001", "--threads=1")
        with pytest.raises(httpx.RemoteProtocolError):
            post(ADMIN, scheme="http")
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
        with grpc.secure_channel(server.target.replace("127.0.0.1", "localhost"), credentials) as channel:
            call = channel.unary_unary(f"/w2s.{service}.v1.{method}")
            call(b"", timeout=10, metadata=[("authorization", f"Bearer {OPERATOR}")])
        # One budget over both ports, and another's is another.
        assert (post(OPERATOR), post(ADMIN)) == (429, status)
        # A caller has its answer before the server has left the call.
        eventually(lambda: len(audited(server.log)) == 2)
        lines = [(line["principal"], line["method"], line["code"]) for line in audited(server.log)]
        assert lines == [("oli", f"POST {path}", 429), ("ada", f"POST {path}", status)]
    finally:
        server.kill()


def test_calls_above_a_limit_are_shed_and_reflection_is_not_served_unasked(start, call, refused):
    target = start("--max-calls-per-s=1")["grpc"]
    with grpc.insecure_channel(target) as channel, refused("UNIMPLEMENTED"):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        list(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10))
    with refused("RESOURCE_EXHAUSTED", words="more than 1 calls a second"):
        for _ in range(3):
            call(target)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--tls-cert-file=server.crt"], "TLS needs both"),
        (["--tls-client-ca-file=ca.pem"], "TLS needs both"),
        (["--tls-cert-file=server.crt", "--tls-key-file=other.key"], "certificate and key are no pair"),
        (["--tls-cert-file=none.crt", "--tls-key-file=server.key"], "cannot be read"),
        (["--tokens-file=none"], "--tokens-file: cannot be read"),
    ],
)
def test_wrong_files_end_the_server_with_one_line(authority, tmp_path, flags, problem):
    authority.issue("server")
    authority.issue("other")
    command = [sys.executable, str(TINY), *SETTINGS, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert ended.returncode == 2
    assert problem in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
