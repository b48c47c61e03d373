"""Compares students with their supervisors and ceilings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from pipelines.steps.items import Json
from w2s.client import Endpoints, connect
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc

# It bootstraps, with every prediction in memory.
_TIMEOUT_S = 300.0
_NAME_LENGTH = 63


def compare(
    weak: Iterable[Json], student: Iterable[Json], ceiling: Iterable[Json], metric: str = "", publish_as: str = ""
) -> evaluator_pb2.Comparison:
    """PGR, agreement and calibration of a student, over seeds.

    Args:
        weak: The supervisor's evaluations, one a seed.
        student: The student's, in the same order.
        ceiling: The ceiling's, likewise.
        metric: What is compared; empty for accuracy, or the first scorer of answers.
        publish_as: The name that the figures have in Prometheus; empty for nowhere.

    Raises:
        grpc.RpcError: The evaluator refuses.
    """
    request = evaluator_pb2.CompareRequest(
        weak=map(predictions, weak),
        student=map(predictions, student),
        ceiling=map(predictions, ceiling),
        metric=metric,
        publish_as=publish_as,
    )
    with connect(Endpoints.from_environment().evaluator) as channel:
        return evaluator_pb2_grpc.EvaluatorServiceStub(channel).Compare(request, timeout=_TIMEOUT_S)


def predictions(evaluation: Json) -> pb.PredictionsRef:
    """The predictions that an evaluation made."""
    return pb.PredictionsRef(**evaluation["predictions"])


def publication(*parts: str) -> str:
    """A name for Prometheus: the parts joined by hyphens, cut to 63 characters with a hash of the rest."""
    text = "-".join(parts)
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(slug) <= _NAME_LENGTH:
        return slug
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug[: _NAME_LENGTH - 9]}-{digest}"
