"""Maps the monitor's protos to what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from google.protobuf import empty_pb2

from w2s.errors import InvalidArgument
from w2s.evaluator.v1 import monitor_pb2 as pb
from w2s.evaluator.v1 import monitor_pb2_grpc
from w2s.rpc import Context
from w2s.rpc.convert import resource_id, to_model
from w2s_evaluator.monitor.messages import acknowledgement_message, observation_of, report_message, student_message
from w2s_evaluator.monitor.service import Monitor
from w2s_evaluator.monitor.spec import StudentSpec

_MAX_OBSERVATIONS = 1_000
_MAX_OUTCOMES = 10_000


class MonitorServicer(monitor_pb2_grpc.MonitorServiceServicer):
    """The gRPC face of the monitor; each RPC is documented in its proto."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    async def RegisterStudent(self, request: pb.RegisterStudentRequest, context: Context) -> pb.Student:
        spec = to_model(request.spec, StudentSpec, "spec")
        return student_message(await self._monitor.register(request.student_id, spec))

    async def GetStudent(self, request: pb.GetStudentRequest, context: Context) -> pb.Student:
        return student_message(self._monitor.students.watched(resource_id(request.name, "students")).student)

    async def ListStudents(self, request: pb.ListStudentsRequest, context: Context) -> pb.ListStudentsResponse:
        students, token = self._monitor.students.page(request.page_size, request.page_token)
        return pb.ListStudentsResponse(students=map(student_message, students), next_page_token=token)

    async def UnregisterStudent(self, request: pb.UnregisterStudentRequest, context: Context) -> empty_pb2.Empty:
        await self._monitor.unregister(resource_id(request.name, "students"))
        return empty_pb2.Empty()

    async def Observe(
        self, requests: AsyncIterator[pb.ObserveRequest], context: Context
    ) -> AsyncIterator[pb.ObserveResponse]:
        async for request in requests:
            _check_ids("observations", [one.example.id for one in request.observations], _MAX_OBSERVATIONS)
            id_ = resource_id(request.student, "students", "student")
            observations = [observation_of(one) for one in request.observations]
            yield acknowledgement_message(await self._monitor.intake.offer(id_, observations))

    async def ReportOutcomes(self, request: pb.ReportOutcomesRequest, context: Context) -> pb.ReportOutcomesResponse:
        id_ = resource_id(request.student, "students", "student")
        _check_ids("outcomes", [one.id for one in request.outcomes], _MAX_OUTCOMES)
        classes = {name: index for index, name in enumerate(self._monitor.students.label_names(id_))}
        for index, one in enumerate(request.outcomes):
            if one.label not in classes:
                raise InvalidArgument(f"outcomes[{index}].label", f"must be one of {', '.join(classes)}")
        truths = {one.id: classes[one.label] for one in request.outcomes}
        matched, unknown = await self._monitor.report_outcomes(id_, truths)
        return pb.ReportOutcomesResponse(matched=matched, unknown=unknown)

    async def GetMonitorReport(self, request: pb.GetMonitorReportRequest, context: Context) -> pb.MonitorReport:
        return report_message(await self._monitor.report(resource_id(request.name, "students")))


def _check_ids(field: str, ids: Sequence[str], most: int) -> None:
    if len(ids) > most:
        raise InvalidArgument(field, f"at most {most:,} a request, got {len(ids):,}")
    if len(set(ids)) < len(ids):
        raise InvalidArgument(field, "the ids must be distinct")
