"""PGR as reports show it."""

from __future__ import annotations

from pydantic import BaseModel

from w2s.evaluator.v1 import evaluator_pb2


class PgrFigure(BaseModel):
    """PGR with its interval; the numbers are null unless the status is OK."""

    value: float | None
    low: float | None
    high: float | None
    status: str


def pgr_figure(pgr: evaluator_pb2.Pgr) -> PgrFigure:
    """A PGR message as a report's figure."""
    status = evaluator_pb2.PgrStatus.Name(pgr.status).removeprefix("PGR_STATUS_")
    if pgr.status != evaluator_pb2.PGR_STATUS_OK:
        return PgrFigure(value=None, low=None, high=None, status=status)
    return PgrFigure(value=pgr.value, low=pgr.interval.low, high=pgr.interval.high, status=status)


def format_pgr(pgr: PgrFigure) -> str:
    """A PGR as text: `0.71 [0.60, 0.82]`, or its status where it means nothing."""
    if pgr.value is None:
        return pgr.status
    return f"{pgr.value:.2f} [{pgr.low:.2f}, {pgr.high:.2f}]"
