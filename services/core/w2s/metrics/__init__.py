"""Metrics: pure functions from arrays of predictions to numbers with intervals."""

from w2s.metrics.agreement import Agreement, agreement
from w2s.metrics.calibration import ReliabilityBin, reliability
from w2s.metrics.pgr import Pgr, PgrStatus, performance_gap_recovered, pgr
from w2s.metrics.proportion import Interval, Proportion, wilson

__all__ = [
    "Agreement",
    "Interval",
    "Pgr",
    "PgrStatus",
    "Proportion",
    "ReliabilityBin",
    "agreement",
    "performance_gap_recovered",
    "pgr",
    "reliability",
    "wilson",
]
