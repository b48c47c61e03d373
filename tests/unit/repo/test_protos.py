"""The contract: every field says how it behaves, and every RPC is served."""

from __future__ import annotations

import pytest
from google.api import field_behavior_pb2 as behavior

from w2s.common.v1 import common_pb2
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc, monitor_pb2, monitor_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from w2s_evaluator.monitor.servicer import MonitorServicer
from w2s_evaluator.servicer import EvaluatorServicer
from w2s_supervisor.servicer import SupervisorServicer
from w2s_trainer.servicer import TrainerServicer

FILES = [common_pb2, supervisor_pb2, trainer_pb2, evaluator_pb2, monitor_pb2]
KNOWN = {behavior.REQUIRED, behavior.OPTIONAL, behavior.OUTPUT_ONLY}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.DESCRIPTOR.name)
def test_every_field_says_how_it_behaves(file):
    silent = [
        field.full_name
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if not field.containing_oneof or field.containing_oneof.name.startswith("_")
        if not KNOWN & set(field.GetOptions().Extensions[behavior.field_behavior])
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("base", "servicer"),
    [
        (supervisor_pb2_grpc.SupervisorServiceServicer, SupervisorServicer),
        (trainer_pb2_grpc.TrainerServiceServicer, TrainerServicer),
        (evaluator_pb2_grpc.EvaluatorServiceServicer, EvaluatorServicer),
        (monitor_pb2_grpc.MonitorServiceServicer, MonitorServicer),
    ],
)
def test_every_declared_rpc_is_served(base, servicer):
    declared = [name for name in vars(base) if not name.startswith("_")]
    assert declared
    assert [name for name in declared if name not in vars(servicer)] == []
