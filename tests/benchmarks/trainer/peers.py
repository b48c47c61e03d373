"""How a classifier is trained elsewhere: the published loop, and transformers' Trainer as it comes."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase, Trainer, TrainingArguments

from w2s.models.tokens import Tokens
from w2s_trainer.loop.course import Course


def published(module: nn.Module, rows: list[Tokens], targets: Tensor, course: Course, micro_batch: int) -> float:
    """Seconds of the loop that the papers' scripts have.

    Rows in the dataset's order, fetched one by one and padded to the longest of a
    micro-batch, in float32; the loss is that of the whole batch, whose graphs are all kept;
    Adam, a cosine to 0, no dropout, a look at the loss after each step.

    Source: openai/weak-to-strong, train.py, by its description.
    """
    module.train()
    optimizer = torch.optim.Adam(module.parameters(), lr=course.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, course.steps(len(rows)))
    start = time.perf_counter()
    for _ in range(course.epochs):
        for low in range(0, len(rows), course.batch_size):
            batch = range(low, min(low + course.batch_size, len(rows)))
            logits = torch.cat(
                [module(text=_padded(rows, batch[at : at + micro_batch])) for at in range(0, len(batch), micro_batch)]
            )
            loss = F.cross_entropy(logits, targets[low : low + course.batch_size])
            loss.backward()
            loss.item()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return time.perf_counter() - start


def _padded(rows: list[Tokens], micro_batch: range) -> dict[str, Tensor]:
    columns = {name: [torch.tensor(rows[row][name]) for row in micro_batch] for name in rows[0]}
    return {name: pad_sequence(column, batch_first=True) for name, column in columns.items()}


class _Adapted(nn.Module):
    """A classifier as transformers' Trainer calls a model."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, labels: Tensor, **text: Tensor) -> dict[str, Tensor]:
        logits = self.classifier(text=text)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def transformers_trainer(
    module: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Tokens],
    labels: list[int],
    course: Course,
    scratch: Path,
) -> float:
    """Seconds of transformers' Trainer with its defaults: random batches, padded to their longest, AdamW fused."""
    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=course.batch_size,
        num_train_epochs=course.epochs,
        learning_rate=course.learning_rate,
        lr_scheduler_type="cosine",
        seed=course.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        # The model's signature is the adapter's, which names no column.
        remove_unused_columns=False,
        label_names=["labels"],
    )
    data = [{**row, "labels": label} for row, label in zip(rows, labels, strict=True)]
    trainer = Trainer(_Adapted(module), arguments, DataCollatorWithPadding(tokenizer), data)
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start
