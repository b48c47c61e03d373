"""Maps the evaluator's protos to what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2_grpc
from w2s.rpc import Context
from w2s.rpc.convert import job_event, resource_id, to_model
from w2s_evaluator.comparisons.messages import assessment_message, comparison_message, comparisons_message
from w2s_evaluator.comparisons.service import Comparisons
from w2s_evaluator.comparisons.spec import ComparisonSpec, ComparisonsSpec, DeceptionSpec
from w2s_evaluator.evaluations.messages import evaluation_message
from w2s_evaluator.evaluations.service import Evaluations
from w2s_evaluator.evaluations.spec import EvaluationSpec


class EvaluatorServicer(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """The gRPC face of the evaluator; each RPC is documented in its proto."""

    def __init__(self, evaluations: Evaluations, comparisons: Comparisons) -> None:
        self._evaluations = evaluations
        self._comparisons = comparisons

    async def CreateEvaluation(self, request: pb.CreateEvaluationRequest, context: Context) -> pb.Evaluation:
        spec = to_model(request.evaluation.spec, EvaluationSpec, "evaluation.spec")
        return evaluation_message(await self._evaluations.create(request.request_id, spec))

    async def GetEvaluation(self, request: pb.GetEvaluationRequest, context: Context) -> pb.Evaluation:
        return evaluation_message(await self._evaluations.jobs.get(resource_id(request.name, "evaluations")))

    async def ListEvaluations(self, request: pb.ListEvaluationsRequest, context: Context) -> pb.ListEvaluationsResponse:
        jobs, token = await self._evaluations.jobs.page(request.page_size, request.page_token)
        return pb.ListEvaluationsResponse(evaluations=map(evaluation_message, jobs), next_page_token=token)

    async def WatchEvaluation(
        self, request: pb.WatchEvaluationRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        id_ = resource_id(request.name, "evaluations")
        async for event in self._evaluations.jobs.watch(id_, request.after_sequence):
            yield job_event(event)

    async def CancelEvaluation(self, request: pb.CancelEvaluationRequest, context: Context) -> pb.Evaluation:
        return evaluation_message(await self._evaluations.jobs.cancel(resource_id(request.name, "evaluations")))

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.Comparison:
        return comparison_message(await self._comparisons.compare(to_model(request, ComparisonSpec, "")))

    async def CompareAll(self, request: pb.CompareAllRequest, context: Context) -> pb.CompareAllResponse:
        specs = to_model(request, ComparisonsSpec, "").comparisons
        return comparisons_message(await self._comparisons.compare_all(specs))

    async def AssessDeception(self, request: pb.AssessDeceptionRequest, context: Context) -> pb.DeceptionAssessment:
        return assessment_message(await self._comparisons.assess(to_model(request, DeceptionSpec, "")))
