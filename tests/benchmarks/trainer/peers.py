"""How a classifier is trained elsewhere: the published loop, and transformers' Trainer as it comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments

from w2s.models.tokens import Tokens
from w2s_trainer.loop.course import Course


def published(
    module: nn.Module,
    rows: list[Tokens],
    targets: Tensor,
    course: Course,
    micro_batch: int,
    *,
    epochs: int,
    ended: Callable[[], None],
) -> None:
    """The loop that the papers' scripts have.

    Rows in the dataset's order, fetched one by one and padded to the longest of a
    micro-batch, in float32; the loss is that of the whole batch, whose graphs are all kept;
    Adam, a cosine to 0, no dropout, a look at the loss after each step.

    Source: openai/weak-to-strong, train.py, by its description.

    Args:
        module: What is trained.
        rows: Its tokens.
        targets: Label distributions, shape [N, C].
        course: Whose batch, learning rate and steps count.
        micro_batch: Rows that go through the model at once.
        epochs: How many of the course's epochs are run.
        ended: Told after each step.
    """
    module.train()
    optimizer = torch.optim.Adam(module.parameters(), lr=course.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, course.steps(len(rows)))
    for _ in range(epochs):
        for low in range(0, len(rows), course.batch_size):
            batch = range(low, min(low + course.batch_size, len(rows)))
            micros = [batch[at : at + micro_batch] for at in range(0, len(batch), micro_batch)]
            logits = torch.cat([module(text=_padded(rows, micro)) for micro in micros])
            loss = F.cross_entropy(logits, targets[low : low + course.batch_size])
            loss.backward()
            loss.item()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            ended()


def _padded(rows: list[Tokens], micro_batch: range) -> dict[str, Tensor]:
    columns = {name: [torch.tensor(rows[row][name]) for row in micro_batch] for name in rows[0]}
    return {name: pad_sequence(column, batch_first=True) for name, column in columns.items()}


class _Adapted(nn.Module):
    """A classifier as transformers' Trainer calls a model."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        text = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        logits = self.classifier(text=text)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Clock(TrainerCallback):
    """Says when a step of a Trainer of transformers has ended."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def on_step_end(self, *_: object, **__: object) -> None:
        self._ended()


def transformers_trainer(
    module: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Tokens],
    labels: list[int],
    course: Course,
    *,
    scratch: Path,
    ended: Callable[[], None],
) -> None:
    """transformers' Trainer with its defaults: random batches, padded to their longest, AdamW fused."""
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
    )
    data = [{**row, "labels": label} for row, label in zip(rows, labels, strict=True)]
    Trainer(_Adapted(module), arguments, DataCollatorWithPadding(tokenizer), data, callbacks=[Clock(ended)]).train()
