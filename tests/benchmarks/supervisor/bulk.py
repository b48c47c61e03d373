"""Bulk labelling through gRPC against what a process can do by itself, and against the published loops."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.report import Report, at_least
from benchmarks.supervisor.world import MAX_LENGTH, Supervisor, World
from w2s.common.v1 import common_pb2 as common
from w2s.models.batches import token_batches
from w2s.models.checkpoint import load
from w2s.models.classifier_engine import ClassifierEngine
from w2s.models.inputs import Row
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc

# The supervisor's own budget on a CPU.
ROWS, ROUNDS, BUDGET = 800, 3, 1024
STREAM_ROWS = 256
# Texts for the slow loops, whose time is taken times the number of texts: it grows with nothing else.
FEW = 60


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Forward:
    """The model in this process."""

    def __init__(self, folder: Path, texts: list[str], *, bfloat16: bool = False) -> None:
        self.checkpoint = load(folder)
        self.engine = ClassifierEngine(self.checkpoint, bfloat16=bfloat16)
        self.texts = texts

    def bucketed(self) -> None:
        """Batches of one length each by token budget: the most that the hardware gives for this model."""
        encoded = self.engine.encode_rows([Row(text) for text in self.texts])
        items = [item for row in encoded for item in row]
        results = [None] * len(items)
        for batch in token_batches([item.length for item in items], BUDGET):
            for index, result in zip(batch, self.engine.run([items[index] for index in batch]), strict=True):
                results[index] = result
        self.engine.logits([[result] for result in results])

    def published(self, batch: int, texts: list[str], padding: str = "longest") -> float:
        """Seconds for all texts, of a loop in the dataset's order, in float32, as the papers' scripts have it."""
        model, tokenizer = self.checkpoint.model, self.checkpoint.tokenizer
        start = time.perf_counter()
        with torch.inference_mode():
            for first in range(0, len(texts), batch):
                inputs = tokenizer(
                    texts[first : first + batch],
                    padding=padding,
                    truncation=True,
                    max_length=512 if padding == "max_length" else MAX_LENGTH,
                    return_tensors="pt",
                )
                model(text=dict(inputs)).logits.softmax(dim=-1)
        return (time.perf_counter() - start) * len(self.texts) / len(texts)


def stream(target: str, texts: list[str]) -> int:
    """Labels through LabelStream, sent as fast as the server lets."""
    requests = (
        pb.LabelRequest(
            examples=[common.Example(id=str(n), text=text) for n, text in enumerate(texts[start : start + STREAM_ROWS])]
        )
        for start in range(0, len(texts), STREAM_ROWS)
    )
    with grpc.insecure_channel(target) as channel:
        stub = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        return sum(len(response.labels) for response in stub.LabelStream(requests))


class Times:
    """Seconds of each round, by what was timed."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        self.of.setdefault(name, []).append(value)

    def over(self, peer: str, ours: str) -> list[float]:
        return [theirs / mine for theirs, mine in zip(self.of[peer], self.of[ours], strict=True)]


def run(folder: Path, report: Report) -> None:
    world = World(folder, ROWS)
    model = world.store.read(world.models[0].uri).path
    times, probabilities = Times(), {}
    published = Forward(model, world.texts)
    for dtype in ("float32", "bfloat16"):
        forward = Forward(model, world.texts, bfloat16=dtype == "bfloat16")
        with world.supervisor(f"--dtype={dtype}") as supervisor:
            forward.bucketed()
            probabilities[dtype] = labels(world, supervisor)
            # What is compared runs in turn, in one machine's same minutes.
            for _ in range(ROUNDS):
                times.add(f"forward {dtype}", seconds(forward.bucketed))
                times.add(f"job {dtype}", seconds(lambda: supervisor.label_dataset(world.dataset)))
                times.add(f"stream {dtype}", seconds(lambda: stream(supervisor.target, world.texts)))
                times.add(f"batch 32 {dtype}", published.published(32, world.texts))
                times.add(f"batch 2 {dtype}", published.published(2, world.texts[:FEW]))
                times.add(f"batch 1 {dtype}", published.published(1, world.texts[:FEW]))
                times.add(f"padded {dtype}", published.published(1, world.texts[:FEW], "max_length"))
        _ratios(report, times, dtype, len(world.texts))
    _agreement(report, probabilities["float32"], probabilities["bfloat16"])


def labels(world: World, supervisor: Supervisor) -> np.ndarray:
    found = world.store.read(supervisor.label_dataset(world.dataset).uri).path / "labels.parquet"
    return np.array(pq.read_table(found)["probabilities"].to_pylist())


def _ratios(report: Report, times: Times, dtype: str, rows: int) -> None:
    job = f"job {dtype}"
    peers = {
        "bucketed_forward": (f"forward {dtype}", 0.95),
        "published_loop_batch_32": (f"batch 32 {dtype}", 3.0),
        "published_loop_batch_2": (f"batch 2 {dtype}", 5.0),
        "published_loop_batch_1": (f"batch 1 {dtype}", 5.0),
        "published_loop_batch_1_padded_to_512": (f"padded {dtype}", 5.0),
    }
    for name, (peer, aim) in peers.items():
        report.add(f"bulk_{dtype}_over_{name}", at_least(times.over(peer, job), aim))
    stream_name = f"stream_{dtype}_over_bucketed_forward"
    report.add(stream_name, at_least(times.over(f"forward {dtype}", f"stream {dtype}"), 0.95))
    report.note(**{f"bulk_{dtype}_rows_per_s": rows / sorted(times.of[job])[ROUNDS // 2]})


def _agreement(report: Report, exact: np.ndarray, rounded: np.ndarray) -> None:
    same = float((exact.argmax(axis=1) == rounded.argmax(axis=1)).mean())
    report.note(bfloat16_same_class=same, bfloat16_largest_difference=float(np.abs(exact - rounded).max()))
