"""Shares of right answers as reports show them."""

from __future__ import annotations

from pydantic import BaseModel

from w2s.common.v1 import common_pb2 as pb


class Mark(BaseModel):
    """A share of right answers, with its 95 % interval."""

    value: float
    low: float | None
    high: float | None


def mark(estimate: pb.Estimate) -> Mark:
    """An estimate as a report's figure; its ends are null where it has none."""
    known = estimate.HasField("interval")
    low, high = (estimate.interval.low, estimate.interval.high) if known else (None, None)
    return Mark(value=estimate.value, low=low, high=high)


def format_mark(found: Mark) -> str:
    """A mark as text: `0.71 [0.60, 0.82]`."""
    return f"{found.value:.3f}" if found.low is None else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
