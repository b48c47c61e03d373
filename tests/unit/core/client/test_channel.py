from __future__ import annotations

import pytest
from helpers.certificates import Authority
from helpers.mutual import Shown, mutual_server

from w2s.client import Endpoints, artifact_root, connect
from w2s.errors import FailedPrecondition
from w2s.rpc import watched
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s.trainer.v1 import trainer_pb2_grpc

ENDPOINTS = Endpoints(supervisor="a:1", trainer="b:2", evaluator="c:3")


def test_endpoints_go_through_the_environment(monkeypatch):
    for name, target in ENDPOINTS.environment().items():
        monkeypatch.setenv(name, target)
    assert Endpoints.from_environment() == ENDPOINTS


def test_addresses_that_are_not_set_are_all_named(monkeypatch):
    for name in ENDPOINTS.environment():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("W2S_TRAINER_ADDRESS", "b:2")
    with pytest.raises(FailedPrecondition, match="set W2S_SUPERVISOR_ADDRESS and W2S_EVALUATOR_ADDRESS") as caught:
        Endpoints.from_environment()
    # Every way to it: variable, flag, file, and services of one's own.
    assert all(way in str(caught.value) for way in ("--supervisor and --evaluator", "file of settings", "`w2s up`"))


def test_only_the_address_that_is_needed_must_be_set(monkeypatch):
    for name in ENDPOINTS.environment():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("W2S_TRAINER_ADDRESS", "b:2")
    assert Endpoints.from_environment(("trainer",)) == Endpoints(supervisor="", trainer="b:2", evaluator="")


def test_the_artifact_root_must_be_set(monkeypatch):
    monkeypatch.setenv("W2S_ARTIFACT_ROOT", "s3://bucket/w2s")
    assert artifact_root() == "s3://bucket/w2s"
    monkeypatch.setenv("W2S_ARTIFACT_ROOT", "")
    with pytest.raises(FailedPrecondition, match="W2S_ARTIFACT_ROOT"):
        artifact_root()


def test_a_channel_shows_and_takes_renewed_certificates_and_ends_what_was_begun(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watched, "_LOOK_S", -1.0)
    shown = Shown(tmp_path, monkeypatch)
    shown.renew("one", authority := Authority(tmp_path))
    with mutual_server(authority) as (servicer, target), connect(target) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)

        def name():
            return stub.GetRun(pb.GetRunRequest(name="runs/a"), timeout=10).name

        assert name() == "one"
        watch = stub.WatchRun(pb.WatchRunRequest(name="runs/a"), timeout=30)
        assert next(watch).sequence == 1
        # Every certificate is of another CA now, the server's and its callers' too.
        later = Authority(tmp_path)
        later.issue("server")
        shown.renew("two", later)
        assert name() == "two"
        servicer.release.set()
        assert [event.sequence for event in watch] == [2]
        shown.key.unlink()
        assert name() == "two"
        assert "cannot be read again" in caplog.text


def test_a_certificate_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_SERVER_CA_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(FailedPrecondition, match="W2S_SERVER_CA_FILE: "), connect("a:1"):
        pass
