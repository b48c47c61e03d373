"""Fine-tuning all of a classifier: examples a second and accuracy, against how it is done elsewhere."""

from __future__ import annotations

import math
import os
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.report import Report, at_least, at_most
from benchmarks.trainer.classifier_arm import COURSE, ROUNDS
from benchmarks.trainer.turns import Arm, compare

OURS = ("float32", "bfloat16")
AIMS = {"published_loop_micro_batch_1": 2.0, "published_loop_micro_batch_32": 2.0, "transformers_trainer": 1.3}
# Whose trainings end with weights of their own; see the arms.
SCORED = (*OURS, "published_loop_micro_batch_32", "transformers_trainer")

Rounds = list[dict[str, Any]]


def run(folder: Path, report: Report) -> None:
    names = [*OURS, *AIMS]
    module = "benchmarks.trainer.classifier_arm"
    arms = {name: Arm(module, [name, str(folder / name)], os.environ) for name in names}
    found = compare(arms, ROUNDS)
    rates = {
        name: [COURSE.batch_size / fmean(round_["seconds"]) for round_ in rounds] for name, rounds in found.items()
    }
    for dtype in OURS:
        for peer, aim in AIMS.items():
            ratios = [mine / theirs for mine, theirs in zip(rates[dtype], rates[peer], strict=True)]
            report.add(f"classifier_{dtype}_over_{peer}", at_least(ratios, aim))
    for name, rounds in found.items():
        report.note(
            **{
                f"classifier_{name}_examples_per_s": median(rates[name]),
                f"classifier_{name}_peak_rss_mib": rounds[0]["peak_rss_mib"],
            }
        )
    _accuracies(report, found)


def _accuracies(report: Report, found: dict[str, Rounds]) -> None:
    """Each arm's accuracy, and how far ours are from those of peers, in standard errors of the difference."""
    scores = {name: _accuracy(found[name]) for name in SCORED}
    for name, (accuracy, error) in scores.items():
        report.note(**{f"classifier_{name}_accuracy": accuracy, f"classifier_{name}_accuracy_standard_error": error})
    for dtype in OURS:
        for peer in [name for name in SCORED if name in AIMS]:
            (mine, error), (theirs, their_error) = scores[dtype], scores[peer]
            gap = abs(mine - theirs) / math.hypot(error, their_error)
            report.add(f"classifier_{dtype}_accuracy_off_{peer}", at_most([gap], 2.0))


def _accuracy(rounds: Rounds) -> tuple[float, float]:
    """The mean over rounds, and its standard error: that of one test set, as all rounds have the same."""
    rows = len(rounds[0]["correct"])
    accuracy = fmean(fmean(round_["correct"]) for round_ in rounds)
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / rows)
