"""Who may call what: three roles, each of which may do all that the ones before it may."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """What a caller may do.

    A reader looks, and asks teachers; an operator runs jobs, swaps teachers and publishes figures; an
    admin removes what others made.
    """

    READER = 1
    OPERATOR = 2
    ADMIN = 3


_READS = {
    "w2s.supervisor.v1.SupervisorService": (
        "GetTeacher ListTeachers GetActivation ListActivations WatchActivation GetLabelingJob ListLabelingJobs "
        "WatchLabelingJob Label LabelStream Score Compare Generate"
    ),
    "w2s.trainer.v1.TrainerService": "GetRun ListRuns WatchRun",
    "w2s.evaluator.v1.EvaluatorService": "GetEvaluation ListEvaluations WatchEvaluation",
    "w2s.evaluator.v1.MonitorService": "GetStudent ListStudents GetMonitorReport",
    "inference.GRPCInferenceService": "ServerLive ServerReady ModelReady ServerMetadata ModelMetadata ModelInfer",
    "grpc.reflection.v1alpha.ServerReflection": "ServerReflectionInfo",
}
_CHANGES = {
    "w2s.supervisor.v1.SupervisorService": (
        "RegisterTeacher ActivateTeacher RollbackTeacher CancelActivation LabelDataset CancelLabelingJob"
    ),
    "w2s.trainer.v1.TrainerService": "CreateRun CancelRun",
    "w2s.evaluator.v1.EvaluatorService": "CreateEvaluation CancelEvaluation Compare CompareAll AssessDeception",
    "w2s.evaluator.v1.MonitorService": "RegisterStudent Observe ReportOutcomes",
    "inference.GRPCInferenceService": "RepositoryModelLoad",
}
_TABLE = {
    f"/{service}/{method}": role
    for role, services in ((Role.READER, _READS), (Role.OPERATOR, _CHANGES))
    for service, methods in services.items()
    for method in methods.split()
}
# Whoever reaches the port may ask: kubelets and load balancers show no token.
_OPEN = "/grpc.health."


def role_for(method: str) -> Role | None:
    """The least role that may call a method; None for one that is open to all.

    Args:
        method: Its full name, such as `/w2s.trainer.v1.TrainerService/GetRun`. One that is not
            listed needs an admin: what removes something, and what is new.
    """
    return None if method.startswith(_OPEN) else _TABLE.get(method, Role.ADMIN)
