"""Bulk labelling through gRPC against what a process can do by itself, and against plain loops."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import grpc
import torch

from benchmarks.report import Report, at_least
from benchmarks.supervisor.world import MAX_LENGTH, World
from w2s.common.v1 import common_pb2 as common
from w2s.models.checkpoint import load
from w2s.models.classifier_engine import ClassifierEngine
from w2s.models.inputs import Row
from w2s.models.tokens import token_batches
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc

ROWS, ROUNDS, BUDGET = 1000, 3, 4096
STREAM_ROWS = 256


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Forward:
    """The model in this process."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        self.checkpoint = load(folder)
        self.engine = ClassifierEngine(self.checkpoint)
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

    def plain(self, batch: int, texts: list[str]) -> None:
        """As the published scripts do: in the dataset's order, padded to the batch's longest."""
        model, tokenizer = self.checkpoint.model, self.checkpoint.tokenizer
        with torch.inference_mode():
            for start in range(0, len(texts), batch):
                inputs = tokenizer(
                    texts[start : start + batch],
                    padding=True,
                    truncation=True,
                    max_length=MAX_LENGTH,
                    return_tensors="pt",
                )
                model(text=dict(inputs)).logits.softmax(dim=-1)


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


def run(folder: Path, report: Report) -> None:
    world = World(folder, ROWS)
    forward = Forward(world.store.read(world.models[0].uri).path, world.texts)
    some = world.texts[: ROWS // 5]
    job, streamed, bucketed, plain32, plain1 = [], [], [], [], []
    # One teacher in memory, one database and one process for all rounds: what is compared runs in turn.
    with world.supervisor(f"--token-budget={BUDGET}") as supervisor:
        forward.bucketed()
        supervisor.label_dataset(world.dataset)
        for _ in range(ROUNDS):
            bucketed.append(seconds(forward.bucketed))
            job.append(seconds(lambda: supervisor.label_dataset(world.dataset)))
            streamed.append(seconds(lambda: stream(supervisor.target, world.texts)))
            plain32.append(seconds(lambda: forward.plain(32, world.texts)))
            plain1.append(seconds(lambda: forward.plain(1, some)) * len(world.texts) / len(some))
    over = [peer / ours for peer, ours in zip(bucketed, job, strict=True)]
    report.add("bulk_labels_over_bucketed_forward", at_least(over, 0.95))
    report.add(
        "bulk_stream_over_bucketed_forward",
        at_least([peer / ours for peer, ours in zip(bucketed, streamed, strict=True)], 0.95),
    )
    report.add(
        "bulk_labels_over_plain_loop_batch_32",
        at_least([peer / ours for peer, ours in zip(plain32, job, strict=True)], 3.0),
    )
    report.add(
        "bulk_labels_over_plain_loop_batch_1",
        at_least([peer / ours for peer, ours in zip(plain1, job, strict=True)], 5.0),
    )
    report.note(bulk_rows_per_s=len(world.texts) / sorted(job)[ROUNDS // 2])
