"""Maps the evaluator's protos to what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2_grpc
from w2s.jobs import Job
from w2s.metrics import Agreement, Pgr, ReliabilityBin
from w2s.rpc import Context
from w2s.rpc.convert import (
    from_ref,
    interval,
    job_event,
    job_status,
    proportion,
    resource_id,
    spec_message,
    to_model,
)
from w2s_evaluator.service import RESULT, Evaluator, Result
from w2s_evaluator.spec import ComparisonSpec, EvaluationSpec


class EvaluatorServicer(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """The gRPC face of the evaluator; each RPC is documented in its proto."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    async def CreateEvaluation(self, request: pb.CreateEvaluationRequest, context: Context) -> pb.Evaluation:
        spec = to_model(request.evaluation.spec, EvaluationSpec, "evaluation.spec")
        await asyncio.to_thread(self._evaluator.check_inputs, spec)
        return _evaluation(await self._evaluator.evaluations.create(request.request_id, spec.model_dump(mode="json")))

    async def GetEvaluation(self, request: pb.GetEvaluationRequest, context: Context) -> pb.Evaluation:
        return _evaluation(await self._evaluator.evaluations.get(resource_id(request.name, "evaluations")))

    async def ListEvaluations(self, request: pb.ListEvaluationsRequest, context: Context) -> pb.ListEvaluationsResponse:
        jobs, token = await self._evaluator.evaluations.page(request.page_size, request.page_token)
        return pb.ListEvaluationsResponse(evaluations=map(_evaluation, jobs), next_page_token=token)

    async def WatchEvaluation(
        self, request: pb.WatchEvaluationRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        id_ = resource_id(request.name, "evaluations")
        async for event in self._evaluator.evaluations.watch(id_, request.after_sequence):
            yield job_event(event)

    async def CancelEvaluation(self, request: pb.CancelEvaluationRequest, context: Context) -> pb.Evaluation:
        return _evaluation(await self._evaluator.evaluations.cancel(resource_id(request.name, "evaluations")))

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.Comparison:
        found = await self._evaluator.compare(to_model(request, ComparisonSpec, ""))
        return pb.Comparison(
            weak_accuracy=found.weak_accuracy,
            student_accuracy=found.student_accuracy,
            ceiling_accuracy=found.ceiling_accuracy,
            pgr=_pgr(found.pgr),
            agreement=_agreement(found.agreement),
            examples=found.examples,
        )


def _evaluation(job: Job) -> pb.Evaluation:
    return pb.Evaluation(
        name=f"evaluations/{job.id}",
        spec=spec_message(EvaluationSpec.model_validate(job.spec), pb.EvaluationSpec),
        status=job_status(job),
        result=_result(RESULT.validate_python(job.result)) if job.result else None,
    )


def _result(result: Result) -> pb.EvaluationResult:
    return pb.EvaluationResult(
        predictions=from_ref(result.predictions, common.PredictionsRef),
        accuracy=proportion(result.accuracy),
        reliability=map(_bin, result.reliability),
    )


def _bin(value: ReliabilityBin) -> pb.ReliabilityBin:
    return pb.ReliabilityBin(
        low=value.low, high=value.high, mean_confidence=value.mean_confidence, accuracy=proportion(value.accuracy)
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
