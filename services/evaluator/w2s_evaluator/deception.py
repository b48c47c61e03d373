"""The proto of deception's figures, which assessments and the monitor both give."""

from __future__ import annotations

from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.metrics.deception import Area, Deception
from w2s.rpc.convert import estimate


def deception_message(value: Deception) -> pb.DeceptionFigures:
    """Deception at one threshold as a message."""
    tax, difference = value.ds_conflict_tax, value.difference_to_no_conflict
    return pb.DeceptionFigures(
        threshold=value.threshold,
        areas=map(_area, value.areas),
        score_errors=estimate(value.ds_errors),
        score_conflict_tax=estimate(tax) if tax else None,
        base_rate=estimate(value.base_rate),
        lift=estimate(value.lift),
        difference_to_no_conflict=estimate(difference) if difference else None,
    )


def _area(value: Area) -> pb.KnowledgeArea:
    return pb.KnowledgeArea(**vars(value))
