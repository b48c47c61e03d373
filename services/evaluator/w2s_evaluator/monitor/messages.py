"""Maps the monitor's values to their protos."""

from __future__ import annotations

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import monitor_pb2 as pb
from w2s.metrics.estimate import Estimate
from w2s.rpc.convert import estimate, spec_message, timestamp
from w2s_evaluator.deception import deception_message
from w2s_evaluator.monitor.figures import Figures
from w2s_evaluator.monitor.observation import Acknowledgement, Observation, moment
from w2s_evaluator.monitor.reports import Report
from w2s_evaluator.monitor.watched import Student


def student_message(student: Student) -> pb.Student:
    """The proto of a student."""
    spec = spec_message(student.spec, pb.StudentSpec)
    return pb.Student(name=student.name, spec=spec, create_time=timestamp(student.create_time))


def observation_of(message: pb.Observation) -> Observation:
    """An observation from its proto."""
    example, time = message.example, message.time
    # A datetime ends with the year 9999, a proto's time need not; either way it is refused.
    seconds = min(max(time.seconds + time.nanos / 1e9, 0.0), 1e11)
    made = moment(seconds) if message.HasField("time") else None
    return Observation(example.id, example.text, example.text_pair, tuple(message.probabilities), made)


def acknowledgement_message(value: Acknowledgement) -> pb.ObserveResponse:
    """The proto of an acknowledgement."""
    return pb.ObserveResponse(
        accepted=value.accepted,
        duplicates=value.duplicates,
        sampled=value.sampled,
        shed=value.shed,
        refused=[pb.RefusedObservation(id=id_, reason=reason) for id_, reason in value.refused],
    )


def report_message(report: Report) -> pb.MonitorReport:
    """The proto of a report."""
    return pb.MonitorReport(
        student=report.student.name,
        teachers=map(_figures, report.figures),
        confidence_drift=report.drift,
        waiting=report.waiting,
        latest=None if report.latest is None else timestamp(moment(report.latest)),
    )


def _figures(value: Figures) -> pb.MonitorFigures:
    return pb.MonitorFigures(
        teacher=common.TeacherVersion(**vars(value.version)),
        observations=value.observations,
        outcomes=value.outcomes,
        disagreement=_defined(value.disagreement),
        confident_disagreement=_defined(value.confident_disagreement),
        blind_spot_exposure=_defined(value.blind_spot_exposure),
        blind_spot_rate=_defined(value.blind_spot_rate),
        student_accuracy=_defined(value.student_accuracy),
        teacher_accuracy=_defined(value.teacher_accuracy),
        deception=deception_message(value.deception) if value.deception else None,
    )


def _defined(value: Estimate) -> common.Estimate | None:
    return None if value.value is None else estimate(value)
