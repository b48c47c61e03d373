"""Maps comparisons and assessments to their protos."""

from __future__ import annotations

from collections.abc import Sequence

from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.metrics import Agreement, Calibration, McNemar, Pgr, median_pgr
from w2s.rpc.convert import estimate, interval, proportion
from w2s_evaluator.comparisons.compare import Comparison
from w2s_evaluator.comparisons.deception import Assessment
from w2s_evaluator.deception import deception_message


def comparison_message(found: Comparison) -> pb.Comparison:
    """The proto of a comparison."""
    beside = found.beside
    return pb.Comparison(
        **{role: estimate(score) for role, score in found.scores.items()},
        pgr=_pgr(found.pgr),
        agreement=_agreement(beside.agreement) if beside else None,
        examples=found.examples,
        metric=found.metric,
        direction=pb.Direction.Value(f"DIRECTION_{found.direction.value}_IS_BETTER"),
        seeds=map(_pgr, found.seeds),
        median_pgr=median_pgr(found.seeds).value,
        mcnemar=_mcnemar(beside.mcnemar) if beside else None,
        supervisor_calibration=_calibration(beside.supervisor) if beside else None,
        student_calibration=_calibration(beside.student) if beside else None,
    )


def comparisons_message(found: Sequence[Comparison]) -> pb.CompareAllResponse:
    """The proto of several comparisons."""
    median = median_pgr(seed for one in found for seed in one.seeds)
    return pb.CompareAllResponse(
        comparisons=map(comparison_message, found), median_pgr=median.value, ok=median.n_ok, total=median.n_total
    )


def assessment_message(found: Assessment) -> pb.DeceptionAssessment:
    """The proto of an assessment."""
    return pb.DeceptionAssessment(
        figures=deception_message(found.figures),
        sweep=map(deception_message, found.sweep),
        blind_spot_rate=estimate(found.blind_spots),
        weak_temperature=found.weak_temperature,
        strong_temperature=found.strong_temperature,
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


def _mcnemar(value: McNemar) -> pb.McNemar:
    return pb.McNemar(only_student=value.only_a, only_supervisor=value.only_b, p_value=value.p_value)


def _calibration(value: Calibration) -> pb.Calibration:
    return pb.Calibration(**vars(value))
