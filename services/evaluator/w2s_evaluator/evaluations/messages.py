"""Maps evaluations to their protos."""

from __future__ import annotations

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.jobs import Job
from w2s.metrics import ReliabilityBin
from w2s.rpc.convert import estimate, from_ref, job_status, proportion, spec_message
from w2s_evaluator.evaluations.result import RESULT, Metric, Result
from w2s_evaluator.evaluations.spec import EvaluationSpec


def evaluation_message(job: Job) -> pb.Evaluation:
    """The proto of an evaluation's job."""
    return pb.Evaluation(
        name=f"evaluations/{job.id}",
        spec=spec_message(EvaluationSpec.model_validate(job.spec), pb.EvaluationSpec),
        status=job_status(job),
        result=_result(RESULT.validate_python(job.result)) if job.result else None,
    )


def _result(result: Result) -> pb.EvaluationResult:
    return pb.EvaluationResult(
        predictions=from_ref(result.predictions, common.PredictionsRef),
        accuracy=proportion(result.accuracy) if result.accuracy else None,
        reliability=map(_bin, result.reliability),
        metrics=map(_metric, result.metrics),
    )


def _bin(value: ReliabilityBin) -> pb.ReliabilityBin:
    return pb.ReliabilityBin(
        low=value.low, high=value.high, mean_confidence=value.mean_confidence, accuracy=proportion(value.accuracy)
    )


def _metric(metric: Metric) -> pb.Metric:
    direction = pb.Direction.Value(f"DIRECTION_{metric.direction.value}_IS_BETTER")
    return pb.Metric(name=metric.name, slice=metric.slice, estimate=estimate(metric.estimate), direction=direction)
