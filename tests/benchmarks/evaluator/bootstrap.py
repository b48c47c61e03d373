"""Bootstrap intervals of 10^5 examples and 2,000 replicates, against a loop of numpy and scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.report import Report, at_least
from w2s.metrics import classification_metrics, estimate, estimate_mean
from w2s.metrics.classification import auroc

EXAMPLES, REPLICATES, ROUNDS = 100_000, 2000, 3
# Replicates of the loops, whose time is taken times the number of replicates: it grows with nothing else.
FEW, FEWER = 100, 10


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def mean_loop(values: np.ndarray, replicates: int = FEW) -> float:
    """Seconds for all replicates, one `rng.choice` each."""
    rng = np.random.default_rng(0)
    return (
        seconds(lambda: [rng.choice(values, len(values)).mean() for _ in range(replicates)]) * REPLICATES / replicates
    )


def auroc_loop(scores: np.ndarray, labels: np.ndarray) -> float:
    """Seconds for all replicates, each with scikit-learn's AUROC."""
    rng = np.random.default_rng(0)

    def loop() -> None:
        for _ in range(FEWER):
            picks = rng.choice(len(labels), len(labels))
            roc_auc_score(labels[picks], scores[picks])

    return seconds(loop) * REPLICATES / FEWER


def run(_folder: Path, report: Report) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=EXAMPLES)
    scores = 1 / (1 + np.exp(-(rng.normal(size=EXAMPLES) + labels)))
    probabilities = np.stack([1 - scores, scores], axis=1)
    correct, loss = (scores > 0.5) == labels, -np.log(probabilities[np.arange(EXAMPLES), labels])
    alone = np.ones(EXAMPLES, dtype=int)
    work = {
        "share": (lambda: estimate_mean(correct), lambda: mean_loop(correct), 10.0),
        # One series costs its draws whoever makes them: as quick is all that can be had.
        "mean": (lambda: estimate_mean(loss), lambda: mean_loop(loss), 1.0),
        "auroc": (lambda: estimate(auroc(probabilities, labels), alone), lambda: auroc_loop(scores, labels), 10.0),
    }
    for name, (ours, theirs, aim) in work.items():
        # What is compared runs in turn, in one machine's same minutes.
        times = [(seconds(ours), theirs()) for _ in range(ROUNDS)]
        report.add(f"bootstrap_{name}_over_loop", at_least([peer / own for own, peer in times], aim))
        report.note(**{f"bootstrap_{name}_seconds": float(np.median([own for own, _ in times]))})
    every = [seconds(lambda: classification_metrics(probabilities, labels)) for _ in range(ROUNDS)]
    report.note(bootstrap_all_classification_metrics_seconds=float(np.median(every)))
