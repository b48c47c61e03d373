"""Metrics: pure functions from arrays of predictions to numbers with intervals."""

from w2s.metrics.agreement import Agreement, McNemar, agreement, mcnemar
from w2s.metrics.bootstrap import (
    bootstrap_means,
    bootstrap_seed_means,
    bootstrap_seed_statistics,
    estimate,
    estimate_mean,
    estimates,
)
from w2s.metrics.calibration import (
    Calibration,
    CalibrationShift,
    ReliabilityBin,
    calibration,
    calibration_shift,
    reliability,
)
from w2s.metrics.classification import OF_CONFUSIONS, PER_EXAMPLE, classification_metrics
from w2s.metrics.deception import (
    Area,
    Deception,
    blind_spot_exposure,
    blind_spot_rate,
    deception,
    deception_sweep,
    known,
)
from w2s.metrics.directions import METRICS, Direction, direction_of
from w2s.metrics.drift import confident_disagreement, disagreement, population_stability_index
from w2s.metrics.estimate import Estimate
from w2s.metrics.generation import TOXIC, exact_match, expected_maximum_toxicity, pass_at_k, toxicity_probability
from w2s.metrics.pairs import pair_accuracy
from w2s.metrics.pgr import MedianPgr, Pgr, PgrStatus, median_pgr, performance_gap_recovered, pgr, pgr_of_draws
from w2s.metrics.proportion import Interval, Proportion, wilson, wilson_interval
from w2s.metrics.temperature import apply_temperature, fit_temperature

__all__ = [
    "METRICS",
    "OF_CONFUSIONS",
    "PER_EXAMPLE",
    "TOXIC",
    "Agreement",
    "Area",
    "Calibration",
    "CalibrationShift",
    "Deception",
    "Direction",
    "Estimate",
    "Interval",
    "McNemar",
    "MedianPgr",
    "Pgr",
    "PgrStatus",
    "Proportion",
    "ReliabilityBin",
    "agreement",
    "apply_temperature",
    "blind_spot_exposure",
    "blind_spot_rate",
    "bootstrap_means",
    "bootstrap_seed_means",
    "bootstrap_seed_statistics",
    "calibration",
    "calibration_shift",
    "classification_metrics",
    "confident_disagreement",
    "deception",
    "deception_sweep",
    "direction_of",
    "disagreement",
    "estimate",
    "estimate_mean",
    "estimates",
    "exact_match",
    "expected_maximum_toxicity",
    "fit_temperature",
    "known",
    "mcnemar",
    "median_pgr",
    "pair_accuracy",
    "pass_at_k",
    "performance_gap_recovered",
    "pgr",
    "pgr_of_draws",
    "population_stability_index",
    "reliability",
    "toxicity_probability",
    "wilson",
    "wilson_interval",
]
