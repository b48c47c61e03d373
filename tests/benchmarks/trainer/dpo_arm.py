"""One arm of the DPO benchmark: `dpo_arm ARM FOLDER`, in turn with the other; the model is in FOLDER/model.

On a GPU where there is one, in bfloat16; else on the CPU, in float32.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from benchmarks.trainer.pairs import preferences
from benchmarks.trainer.peers import Clock
from benchmarks.trainer.turns import Turn
from benchmarks.trainer.world import train
from w2s.artifacts import ArtifactStore
from w2s.models.pretrained import load_tokenizer
from w2s.models.runtime import configure_runtime, pick_device
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import build_language_model
from w2s_trainer.criteria import criterion
from w2s_trainer.data import CompletionEncoder, PreferenceExamples
from w2s_trainer.loop.batches import OptimizerBatches
from w2s_trainer.loop.course import Course
from w2s_trainer.spec import Dpo, Objective
from w2s_trainer.stages.reference import Reference

BETA, MAX_LENGTH = 0.1, 256
DEVICE = pick_device()
ON_GPU = DEVICE.type == "cuda"
COURSE = Course(
    epochs=1,
    batch_size=16,
    learning_rate=1e-5,
    head_learning_rate=1e-5,
    max_grad_norm=1.0,
    bfloat16=ON_GPU,
    # As a trainer sets it by itself.
    token_budget=16384 if ON_GPU else 1024,
)
PAIRS = (24 if ON_GPU else 6) * COURSE.batch_size


def ours(folder: Path, turn: Turn) -> None:
    base = BaseRef(uri=f"file://{folder}/model")
    sources = ModelSources(ArtifactStore(str(folder / "store")), (f"file://{folder}",))
    trainable = build_language_model(ModelSpec(base=base, max_length=MAX_LENGTH), sources.resolve(base))
    module = trainable.module.to(DEVICE)
    examples = _examples(CompletionEncoder(trainable.tokenizer, MAX_LENGTH))
    start = time.perf_counter()
    cache, budget = Path(tempfile.mkdtemp()), COURSE.token_budget
    sums = Reference(module, "base", cache, DEVICE, budget, bfloat16=ON_GPU)(examples)
    reference_s = time.perf_counter() - start
    losses: list[float] = []

    def report(stage: str, step: int, total: int, figures: dict[str, float]) -> None:
        losses.append(figures["loss"])
        turn.step()

    loss = criterion(Objective(dpo=Dpo(beta=BETA)))
    train(module, [], examples.with_reference(sums), loss, COURSE, folder / "scratch", report=report, device=DEVICE)
    chosen = float(sums[_order()[: COURSE.batch_size], 0].mean())
    turn.round(losses=losses, reference_s=reference_s, chosen=chosen, peak_gpu_mib=_peak_gpu_mib())


def trl(folder: Path, turn: Turn) -> None:
    arguments = DPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=COURSE.batch_size,
        num_train_epochs=COURSE.epochs,
        learning_rate=COURSE.learning_rate,
        max_grad_norm=COURSE.max_grad_norm,
        lr_scheduler_type=COURSE.schedule,
        beta=BETA,
        max_length=MAX_LENGTH,
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
        bf16=ON_GPU,
        use_cpu=not ON_GPU,
        # The pairs are in our order already, so that both train on the same batches.
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    pairs = preferences(PAIRS)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, use_safetensors=True)
    start = time.perf_counter()
    trainer = DPOTrainer(
        model,
        args=arguments,
        train_dataset=Dataset.from_list([asdict(pairs[row]) for row in _order()]),
        processing_class=load_tokenizer(str(folder / "model")),
        callbacks=[Clock(turn.step)],
    )
    reference_s = time.perf_counter() - start
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = [entry["loss"] for entry in logs]
    chosen = logs[0]["logps/chosen"]
    turn.round(losses=losses, reference_s=reference_s, chosen=chosen, peak_gpu_mib=_peak_gpu_mib())


ARMS: dict[str, Callable[[Path, Turn], None]] = {"ours": ours, "trl": trl}


def _examples(encoder: CompletionEncoder) -> PreferenceExamples:
    pairs = preferences(PAIRS)
    texts = [[getattr(pair, name) for pair in pairs] for name in ("prompt", "chosen", "rejected")]
    prefer_first = torch.tensor([[1.0, 0.0]]).expand(len(pairs), 2)
    examples = PreferenceExamples.of_pairs(encoder, list(map(str, range(len(pairs)))), *texts, prefer_first, None)
    assert examples.truncated == 0
    return examples


def _peak_gpu_mib() -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if ON_GPU else 0.0


def _order() -> list[int]:
    return [row for batch in OptimizerBatches(PAIRS, COURSE.batch_size, COURSE.seed) for row in batch]


if __name__ == "__main__":
    configure_runtime(0)
    ARMS[sys.argv[1]](Path(sys.argv[2]), Turn())
