"""The process that runs the harness: `python -m w2s_evaluator.benchmarks.harness ANSWER`.

Reads what is asked as a line of JSON, and writes a file of JSON. It ends with its standard input.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

_BATCH = 8
_SEED = 0
# For metrics that are no means.
_REPLICATES = 1000


def evaluate(asked: dict[str, Any]) -> dict[str, Any]:
    """What there is to say of a model: `unknown` task, or `metrics` and `samples`."""
    manager = TaskManager(include_path=asked["folder"])
    for index, task in enumerate(asked["tasks"]):
        if task not in manager.all_tasks:
            near = difflib.get_close_matches(task, manager.all_tasks)
            return {"unknown": {"index": index, "task": task, "near": near}}
    if asked["threads"]:
        torch.set_num_threads(asked["threads"])
    found = simple_evaluate(
        model=_model(asked["model"], asked["device"]),
        tasks=asked["tasks"],
        num_fewshot=asked["shots"],
        limit=asked["limit"],
        task_manager=manager,
        bootstrap_iters=_REPLICATES,
        random_seed=_SEED,
        numpy_random_seed=_SEED,
        torch_random_seed=_SEED,
        fewshot_random_seed=_SEED,
    )
    return {"metrics": _metrics(found), "samples": _samples(found)}


def _model(folder: str, device: str) -> HFLM:
    model = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    module: Any = model
    return HFLM(pretrained=module.to(device).eval(), tokenizer=tokenizer, device=device, batch_size=_BATCH)


def _metrics(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of each task; those that are no finite numbers are left out."""
    metrics = []
    for task, figures in found["results"].items():
        for key, value in figures.items():
            name, _, filter_ = key.partition(",")
            if name.endswith("_stderr") or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            error = figures.get(f"{name}_stderr,{filter_}")
            metrics.append(
                {
                    "task": task,
                    "name": name if filter_ in ("none", "") else f"{name},{filter_}",
                    "value": float(value),
                    "error": float(error) if isinstance(error, int | float) and math.isfinite(error) else None,
                    "n": found["n-samples"].get(task, {}).get("effective", 0),
                    "higher": bool(found["higher_is_better"].get(task, {}).get(name, True)),
                }
            )
    return metrics


def _samples(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "task": task,
            "id": str(sample["doc_id"]),
            "target": str(sample["target"]),
            "answers": json.dumps(sample["filtered_resps"], default=str),
            "metrics": json.dumps({name: sample.get(name) for name in sample["metrics"]}, default=str),
        }
        for task, samples in found["samples"].items()
        for sample in samples
    ]


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main() -> None:
    """Answers once."""
    asked = json.loads(_first_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Path(sys.argv[1]).write_text(json.dumps(evaluate(asked)))


def _first_line() -> bytes:
    line = b""
    # Not through sys.stdin, which would read ahead of the line.
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line


if __name__ == "__main__":
    main()
