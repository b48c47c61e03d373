"""Which way each metric gets better."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Whether more of a metric is better, or less."""

    HIGHER = "HIGHER"
    LOWER = "LOWER"


METRICS = {
    "accuracy": Direction.HIGHER,
    "balanced_accuracy": Direction.HIGHER,
    "weighted_f1": Direction.HIGHER,
    "auroc": Direction.HIGHER,
    "nll": Direction.LOWER,
    "brier": Direction.LOWER,
    "ece": Direction.LOWER,
    "pair_accuracy": Direction.HIGHER,
    "exact_match": Direction.HIGHER,
    "math": Direction.HIGHER,
    "move": Direction.HIGHER,
    "pass@k": Direction.HIGHER,
    "toxicity": Direction.LOWER,
    "expected_maximum_toxicity": Direction.LOWER,
    "toxicity_probability": Direction.LOWER,
    "refusal": Direction.HIGHER,
}


def direction_of(metric: str) -> Direction:
    """Which way a metric gets better; `pass@8` is a `pass@k`.

    Raises:
        KeyError: The metric is not of ours.
    """
    return METRICS["pass@k" if metric.startswith("pass@") else metric]
