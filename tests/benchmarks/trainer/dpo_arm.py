"""One arm of the DPO benchmark in a process of its own, whose peak memory is its own: `dpo_arm ARM FOLDER`.

The model is in FOLDER/model. Prints JSON: steps a second, and what each step told.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.trainer.pairs import preferences
from benchmarks.trainer.world import Steps, train
from w2s.models.runtime import configure_runtime
from w2s_trainer.loop.batches import OptimizerBatches
from w2s_trainer.loop.course import Course

BETA, MAX_LENGTH = 0.1, 256
# As the papers' code: 0 dropout, one learning rate, and gradients clipped to 1.
COURSE = Course(epochs=1, batch_size=16, learning_rate=1e-5, head_learning_rate=1e-5, max_grad_norm=1.0)
PAIRS = 5 * COURSE.batch_size


@dataclass(frozen=True)
class Found:
    """What an arm measured.

    Attributes:
        steps_per_s: Optimiser steps a second, the first one left out.
        reference_s: Seconds for the reference's log-probabilities of all pairs.
        losses: Of each step.
        chosen: The mean log-probability of the first batch's chosen completions before training, in nats.
        peak_rss_mib: Of the process, with all that it loaded.
    """

    steps_per_s: float
    reference_s: float
    losses: list[float]
    chosen: float
    peak_rss_mib: float


def ours(folder: Path) -> Found:
    from w2s.artifacts import ArtifactStore
    from w2s.models.sources import ModelSources
    from w2s.models.spec import BaseRef, ModelSpec
    from w2s.models.trainable import build_language_model
    from w2s_trainer.criteria import criterion
    from w2s_trainer.data import CompletionEncoder, PreferenceExamples
    from w2s_trainer.spec import Dpo, Objective
    from w2s_trainer.stages.reference import Reference

    base = BaseRef(uri=f"file://{folder}/model")
    sources = ModelSources(ArtifactStore(str(folder / "store")), (f"file://{folder}",))
    trainable = build_language_model(ModelSpec(base=base, max_length=MAX_LENGTH), sources.resolve(base))
    pairs = preferences(PAIRS)
    texts = [[getattr(pair, name) for pair in pairs] for name in ("prompt", "chosen", "rejected")]
    prefer_first = torch.tensor([[1.0, 0.0]]).expand(len(pairs), 2)
    ids = [str(row) for row in range(len(pairs))]
    encoder = CompletionEncoder(trainable.tokenizer, MAX_LENGTH)
    examples = PreferenceExamples.of_pairs(encoder, ids, *texts, prefer_first, None)
    assert examples.truncated == 0
    start = time.perf_counter()
    sums = Reference(
        trainable.module, "base", Path(tempfile.mkdtemp()), torch.device("cpu"), COURSE.token_budget, bfloat16=False
    )(examples)
    reference_s = time.perf_counter() - start
    loss = criterion(Objective(dpo=Dpo(beta=BETA)))
    steps = train(trainable.module, [], examples.with_reference(sums), loss, COURSE, folder / "scratch")
    losses = [figures["loss"] for figures in steps.figures]
    return Found(steps.per_second(), reference_s, losses, float(sums[_order()[: COURSE.batch_size], 0].mean()), _peak())


def trl(folder: Path) -> Found:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    from w2s.models.pretrained import load_tokenizer

    class Clock(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            steps.add("train", 0, 0, {})

    steps = Steps()
    pairs = preferences(PAIRS)
    arguments = DPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=COURSE.batch_size,
        num_train_epochs=COURSE.epochs,
        learning_rate=COURSE.learning_rate,
        max_grad_norm=COURSE.max_grad_norm,
        lr_scheduler_type="linear",
        beta=BETA,
        max_length=MAX_LENGTH,
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        # The pairs are in our order already, so that both train on the same batches.
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    start = time.perf_counter()
    trainer = DPOTrainer(
        model,
        args=arguments,
        train_dataset=Dataset.from_list([asdict(pairs[row]) for row in _order()]),
        processing_class=load_tokenizer(str(folder / "model")),
        callbacks=[Clock()],
    )
    reference_s = time.perf_counter() - start
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return Found(steps.per_second(), reference_s, [entry["loss"] for entry in logs], logs[0]["logps/chosen"], _peak())


def _order() -> list[int]:
    return [row for batch in OptimizerBatches(PAIRS, COURSE.batch_size, COURSE.seed) for row in batch]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


ARMS: dict[str, Callable[[Path], Found]] = {"ours": ours, "trl": trl}


if __name__ == "__main__":
    configure_runtime(0)
    print(json.dumps(asdict(ARMS[sys.argv[1]](Path(sys.argv[2])))))
