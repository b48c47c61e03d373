from __future__ import annotations

import importlib

import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2

from w2s.rpc.roles import Role, role_for

MODULES = ("supervisor.v1.supervisor", "trainer.v1.trainer", "evaluator.v1.evaluator", "evaluator.v1.monitor")
FILES = [importlib.import_module(f"w2s.{name}_pb2").DESCRIPTOR for name in MODULES] + [grpc_predict_v2_pb2.DESCRIPTOR]
METHODS = sorted(
    f"/{service.full_name}/{method.name}"
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
)
REMOVES = ("Delete", "Unregister", "RepositoryModelUnload")


@pytest.mark.parametrize("method", METHODS)
def test_only_what_removes_something_needs_an_admin(method):
    removes = method.rpartition("/")[2].startswith(REMOVES)
    assert (role_for(method) is Role.ADMIN) == removes


@pytest.mark.parametrize("method", [m for m in METHODS if m.rpartition("/")[2].startswith(("Get", "List", "Watch"))])
def test_a_reader_may_look(method):
    assert role_for(method) is Role.READER


@pytest.mark.parametrize(
    ("method", "role"),
    [
        ("/w2s.supervisor.v1.SupervisorService/Label", Role.READER),
        ("/w2s.supervisor.v1.SupervisorService/LabelDataset", Role.OPERATOR),
        ("/w2s.supervisor.v1.SupervisorService/ActivateTeacher", Role.OPERATOR),
        ("/w2s.supervisor.v1.SupervisorService/Compare", Role.READER),
        # It publishes figures.
        ("/w2s.evaluator.v1.EvaluatorService/Compare", Role.OPERATOR),
        ("/w2s.trainer.v1.TrainerService/Invented", Role.ADMIN),
        ("/grpc.health.v1.Health/Check", None),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role.READER),
    ],
)
def test_roles(method, role):
    assert role_for(method) is role
