"""SFT and DPO of a language model of more than a billion parameters on a GPU, through the trainer's own loop.

Needs torch, transformers, peft and accelerate, and of ours only what the loop itself is made of:

    PYTHONPATH=services/core:services/trainer:tests python -m benchmarks.trainer_gpu

The model has the shape of Llama 3.2 1B and random weights: float32 master weights, bfloat16 autocast.
How much of the hardware's arithmetic is the model's (MFU):

    MFU = F / (t R)
    F   = f (N_body T + N_head C) + 6 N_lora T + 6 L D sum_i t_i^2

A step takes t seconds; R is the rate of large square bfloat16 products, measured in the same run.
It reads sequences of t_i tokens, T together, of which C are predicted; padding counts for nothing,
nor does what is computed twice. N are the numbers in the matrices of the layers, of the head and of
adapters. f = 6 where the matrices train: two operations a number, forward once and backward twice;
f = 4 where they are frozen. Causal attention over D = heads x head size in L layers: two products,
half of each.

Source: Chowdhery et al. 2022, "PaLM", appendix B, with half of the attention, and the head only
where it is read.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.report import Report, at_least
from benchmarks.trainer.world import train
from w2s.models.scorer import CompletionScorer
from w2s.objectives import Pair, dpo_loss
from w2s_trainer.loop.batches import OptimizerBatches
from w2s_trainer.loop.contract import Criterion, Micro
from w2s_trainer.loop.course import Course
from w2s_trainer.loop.memory import needs_checkpointing
from w2s_trainer.loop.scoring import outputs_of

AIM = 0.45
# The first steps fill the allocator's caches.
WARM = 2
ADAPTED = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Size:
    """How large all of it is.

    Attributes:
        model: The language model's configuration, as transformers takes it.
        prompt: Tokens of a prompt, at least and at most; as many of each length.
        completion: The same of a completion.
        batch: Sequences an optimiser step.
        budget: Padded tokens of a micro-batch.
        steps: Optimiser steps, the first ones included.
        square: Rows of the matrices whose product is timed.
    """

    model: dict[str, int]
    prompt: tuple[int, int]
    completion: tuple[int, int]
    batch: int
    budget: int
    steps: int
    square: int


FULL = Size(
    model={
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 4096,
    },
    prompt=(64, 512),
    completion=(64, 512),
    batch=64,
    budget=8192,
    steps=12,
    square=8192,
)
TINY = Size(
    model={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 128,
        "max_position_embeddings": 64,
    },
    prompt=(2, 8),
    completion=(2, 8),
    batch=4,
    budget=64,
    steps=4,
    square=128,
)


@dataclass(frozen=True)
class Sequences:
    """Prompts of random tokens with one or two completions each; the `Examples` of the loop.

    Attributes:
        parts: For each completion of an example: N sequences, a prompt before its completion.
        prompts: Tokens of each prompt.
        reference: Summed log-probabilities of both completions under the reference, shape [N, 2].
    """

    parts: list[list[Tensor]]
    prompts: list[int]
    reference: Tensor | None = None

    @property
    def ids(self) -> list[str]:
        return [str(row) for row in range(len(self.prompts))]

    @property
    def lengths(self) -> list[int]:
        return [max(map(len, sequences)) for sequences in zip(*self.parts, strict=True)]

    @property
    def token_counts(self) -> list[int]:
        return [sum(map(len, sequences)) for sequences in zip(*self.parts, strict=True)]

    @property
    def sequences(self) -> int:
        return len(self.parts)

    def micro(self, rows: Sequence[int]) -> Micro:
        tokens = [part[row] for part in self.parts for row in rows]
        seen = [torch.ones_like(ids) for ids in tokens]
        counted = [(torch.arange(len(part[row])) >= self.prompts[row]).long() for part in self.parts for row in rows]
        columns = {"input_ids": tokens, "attention_mask": seen, "completion_mask": counted}
        inputs = {name: pad_sequence(column, batch_first=True) for name, column in columns.items()}
        targets = {"counts": torch.tensor([len(self.parts[0][row]) - self.prompts[row] for row in rows]).float()}
        if self.reference is not None:
            targets["reference"] = self.reference[rows]
        return Micro(inputs, targets)


def sequences(size: Size, completions: int) -> Sequences:
    """As many examples as all steps take; the same batch size in sequences, however many an example has."""
    rng = np.random.default_rng(0)
    rows = size.steps * size.batch // completions
    prompts = [rng.integers(0, size.model["vocab_size"], rng.integers(*size.prompt)) for _ in range(rows)]
    parts = [
        [
            torch.from_numpy(
                np.concatenate([ids, rng.integers(0, size.model["vocab_size"], rng.integers(*size.completion))])
            )
            for ids in prompts
        ]
        for _ in range(completions)
    ]
    return Sequences(parts, [len(ids) for ids in prompts])


class Nll(Criterion):
    """Negative log-likelihood, each token weighing the same."""

    whole_batch = False

    def weights(self, targets: Mapping[str, Tensor]) -> Tensor:
        return targets["counts"]

    def prepare(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        return {}

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        return {"nll": -outputs}

    def measures(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {}


class Dpo(Nll):
    """As `w2s.objectives.dpo_loss`, with beta = 0.1."""

    def weights(self, targets: Mapping[str, Tensor]) -> Tensor:
        return torch.ones_like(targets["counts"])

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        return {"dpo": dpo_loss(Pair(*outputs.chunk(2)), Pair(*targets["reference"].unbind(-1)), 0.1)}


def scorer(size: Size, device: torch.device, *, lora: bool) -> CompletionScorer:
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(LlamaConfig(**size.model, tie_word_embeddings=False, pad_token_id=None))
    made = CompletionScorer(model)
    if lora:
        model.requires_grad_(False)
        inject_adapter_in_model(LoraConfig(r=8, lora_alpha=16, target_modules=ADAPTED), model.base_model)
    return made.to(device)


class Steps:
    """When each optimiser step ended, and its loss."""

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.losses: list[float] = []

    def add(self, stage: str, step: int, total: int, figures: dict[str, float]) -> None:
        # The loss was waited for, and all that was begun before it.
        self.ended.append(time.perf_counter())
        self.losses.append(figures["loss"])


class Flops:
    """Operations of a step, by the formula above.

    Args:
        model: What is trained.
        examples: What it is trained on.
    """

    def __init__(self, model: CompletionScorer, examples: Sequences) -> None:
        matrices = {name: p for name, p in model.model.named_parameters() if p.ndim == 2 and "embed_tokens" not in name}
        config = model.model.config
        self._lora = sum(p.numel() for name, p in matrices.items() if "lora_" in name)
        self._head = matrices["lm_head.weight"].numel()
        self._body = sum(p.numel() for p in matrices.values()) - self._lora - self._head
        self._factor = 6 if self._lora == 0 else 4
        self._attention = 6 * config.num_hidden_layers * config.hidden_size
        self._examples = examples

    def tokens(self, rows: Sequence[int]) -> int:
        return sum(len(part[row]) for part in self._examples.parts for row in rows)

    def __call__(self, rows: Sequence[int]) -> float:
        lengths = [len(part[row]) for part in self._examples.parts for row in rows]
        tokens = sum(lengths)
        predicted = tokens - self._examples.sequences * sum(self._examples.prompts[row] for row in rows)
        products = self._factor * (self._body * tokens + self._head * predicted) + 6 * self._lora * tokens
        return products + self._attention * sum(length**2 for length in lengths)


def matrix_rate(rows: int, device: torch.device) -> float:
    """Operations a second of square products in bfloat16."""
    left, right = (torch.randn(rows, rows, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(10):
            left @ right
        synchronize(device)
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * rows**3 / best


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def referenced(examples: Sequences, model: nn.Module, size: Size, device: torch.device) -> Sequences:
    """The examples with what the untrained model says of them."""
    sums = torch.empty(len(examples.prompts), 2)
    with torch.autocast(device.type, torch.bfloat16):
        for rows, outputs, _ in outputs_of(model, examples, device, size.budget):
            sums[rows] = outputs.cpu().view(2, -1).T
    return replace(examples, reference=sums)


def measure(objective: str, size: Size, device: torch.device, report: Report, *, lora: bool) -> None:
    """Trains, and reports tokens a second, MFU and memory."""
    name = f"{objective}_{'lora' if lora else 'full'}"
    model = scorer(size, device, lora=lora)
    examples = sequences(size, 1 if objective == "sft" else 2)
    if objective == "dpo":
        examples = referenced(examples, model, size, device)
    longest = examples.sequences * max(examples.lengths)
    checkpointing = needs_checkpointing(model, longest, size.budget, device, bfloat16=True, shards=1)
    if checkpointing:
        model.enable_checkpointing()
    course = Course(
        epochs=1,
        batch_size=size.batch // examples.sequences,
        learning_rate=1e-5,
        head_learning_rate=1e-5,
        max_grad_norm=1.0,
        bfloat16=True,
        token_budget=size.budget,
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before, steps = matrix_rate(size.square, device), Steps()
    with tempfile.TemporaryDirectory() as scratch:
        criterion = Nll() if objective == "sft" else Dpo()
        train(model, [], examples, criterion, course, Path(scratch), report=steps.add, device=device)
    # The faster of two, so that nothing is owed to a moment of slow products.
    rate = max(before, matrix_rate(size.square, device))
    flops = Flops(model, examples)
    batches = list(OptimizerBatches(len(examples.prompts), course.batch_size, course.seed))[WARM:]
    seconds = np.diff(steps.ended)[WARM - 1 :].tolist()
    used = [flops(rows) / taken / rate for rows, taken in zip(batches, seconds, strict=True)]
    report.add(f"{name}_mfu", at_least(used, AIM))
    report.note(
        **{
            f"{name}_tokens_per_s": median(flops.tokens(b) / s for b, s in zip(batches, seconds, strict=True)),
            f"{name}_step_s": median(seconds),
            f"{name}_matrix_tflops": rate / 1e12,
            f"{name}_parameters": sum(p.numel() for p in model.parameters()),
            f"{name}_checkpointing": float(checkpointing),
            f"{name}_first_loss": steps.losses[0],
            f"{name}_last_loss": steps.losses[-1],
        }
    )
    if device.type == "cuda":
        report.note(**{f"{name}_peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30})


def main(arguments: list[str]) -> Path:
    parser = argparse.ArgumentParser(description="Times SFT and DPO on a GPU.")
    parser.add_argument("objectives", nargs="*", default=["sft", "dpo"], help="sft, dpo or both")
    parser.add_argument("--lora", action="store_true", help="train adapters of rank 8 rather than all weights")
    parser.add_argument("--tiny", action="store_true", help="a miniature on the CPU, which shows that all of it runs")
    parser.add_argument("--token-budget", type=int, help="padded tokens of a micro-batch")
    options = parser.parse_args(arguments)
    device = torch.device("cpu" if options.tiny else "cuda")
    size = TINY if options.tiny else FULL
    size = replace(size, budget=options.token_budget or size.budget)
    report = Report("trainer_gpu_tiny" if options.tiny else "trainer_gpu")
    for objective in options.objectives:
        measure(objective, size, device, report, lora=options.lora)
    path = report.write()
    content = json.loads(path.read_text())
    content["environment"]["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    path.write_text(json.dumps(content, indent=1))
    print(path.read_text())
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
