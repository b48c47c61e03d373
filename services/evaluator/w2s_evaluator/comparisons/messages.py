"""Maps comparisons to their protos."""

from __future__ import annotations

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.metrics import Agreement, Pgr
from w2s.rpc.convert import interval, proportion
from w2s_evaluator.comparisons.compare import Comparison


def comparison_message(found: Comparison) -> pb.Comparison:
    """The proto of a comparison."""
    return pb.Comparison(
        weak=common.Estimate(value=found.weak_accuracy, n=found.examples),
        student=common.Estimate(value=found.student_accuracy, n=found.examples),
        ceiling=common.Estimate(value=found.ceiling_accuracy, n=found.examples),
        pgr=_pgr(found.pgr),
        agreement=_agreement(found.agreement),
        examples=found.examples,
    )


def _pgr(value: Pgr) -> pb.Pgr:
    status = pb.PgrStatus.Value(f"PGR_STATUS_{value.status.value}")
    return pb.Pgr(value=value.value, interval=interval(value.interval), status=status)


def _agreement(value: Agreement) -> pb.Agreement:
    return pb.Agreement(
        overall=proportion(value.overall),
        supervisor_right=proportion(value.supervisor_right),
        supervisor_wrong=proportion(value.supervisor_wrong),
    )
