"""Scores a model on examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from w2s_trainer.loop.batches import Cutter
from w2s_trainer.loop.contract import Criterion, Examples


def score(
    model: nn.Module, examples: Examples, criterion: Criterion, device: torch.device, budget: int
) -> dict[str, float]:
    """Means of an objective's measures over examples.

    Args:
        model: On its device; put into evaluation mode meanwhile.
        examples: N >= 1.
        criterion: Whose measures are taken.
        device: Where the model is.
        budget: Padded tokens of a batch.

    Returns:
        Means by name.
    """
    sums: dict[str, Tensor] = {}
    for rows, outputs, targets in outputs_of(model, examples, device, budget):
        for name, values in criterion.measures(outputs, targets).items():
            assert len(values) == len(rows)
            sums[name] = sums.get(name, torch.zeros((), device=device)) + values.sum()
    return {name: float(value) / len(examples.ids) for name, value in sums.items()}


@torch.no_grad()
def outputs_of(
    model: nn.Module, examples: Examples, device: torch.device, budget: int
) -> Iterator[tuple[list[int], Tensor, Mapping[str, Tensor]]]:
    """A model's outputs on examples, in batches with little padding.

    Args:
        model: As `score`.
        examples: As `score`.
        device: As `score`.
        budget: As `score`.

    Yields:
        Row numbers, outputs and targets of a batch, on the device.
    """
    training = model.training
    model.eval()
    cutter = Cutter(examples, budget)
    for rows in cutter.cut(range(len(examples.ids))):
        micro = to_device(cutter.micro(rows), device)
        yield rows, model(**micro["inputs"]), micro["targets"]
    model.train(training)


def to_device(value: Any, device: torch.device) -> Any:
    """Tensors in nested mappings and lists, moved to a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {name: to_device(item, device) for name, item in value.items()}
    return [to_device(item, device) for item in value] if isinstance(value, list) else value
