from __future__ import annotations

import pytest

from w2s.client import Endpoints, artifact_root
from w2s.errors import FailedPrecondition

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
