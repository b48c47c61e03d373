"""Objectives whose targets depend on the whole optimiser batch, in the memory of a micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from w2s_trainer.loop.contract import Criterion

Outputs = Callable[[], Tensor]


class WholeBatch:
    """Computes targets from all outputs of a batch, then the outputs again, with gradient.

    The first pass keeps no activations and only its outputs, such as logits. The second sees
    the same dropout, as the states of the random generators are put back. A batch that is one
    micro-batch of one process needs no second pass.

    Args:
        criterion: Prepares targets.
        rank: This process's number.
        world: How many processes share a batch.
    """

    def __init__(self, criterion: Criterion, rank: int, world: int) -> None:
        self._criterion = criterion
        self._rank = rank
        self._world = world

    def outputs(
        self, model: nn.Module, batch: Mapping[str, Any], progress: float
    ) -> Iterator[tuple[dict[str, Any], Outputs]]:
        """Each micro-batch with the targets that the whole batch gives, and what computes its outputs.

        Args:
            model: What is trained.
            batch: As `Cutter` makes it.
            progress: Share of optimiser steps done.
        """
        micros = batch["micros"]
        if len(micros) == self._world == 1:
            once = model(**micros[0]["inputs"])
            prepared = self._criterion.prepare(once.detach(), micros[0]["targets"], progress)
            yield _with(micros[0], prepared), lambda: once
            return
        states = []
        firsts = []
        with torch.no_grad():
            for micro in micros:
                states.append(_random_state())
                firsts.append(model(**micro["inputs"]))
        after = _random_state()
        parts = self._prepared(firsts, batch, progress)
        for micro, prepared, state in zip(micros, parts, states, strict=True):
            yield _with(micro, prepared), partial(_again, model, micro, state)
        _set_random_state(after)

    def _prepared(self, firsts: list[Tensor], batch: Mapping[str, Any], progress: float) -> list[dict[str, Tensor]]:
        """The prepared targets of each micro-batch of this process."""
        counted = [index for index, on in enumerate(batch["counted"]) if on]
        shares = batch["shares"]
        outputs = self._gathered([firsts[index] for index in counted], firsts[0], shares)
        names = batch["micros"][0]["targets"]
        targets = {
            name: self._gathered(
                [batch["micros"][i]["targets"][name] for i in counted], batch["micros"][0]["targets"][name], shares
            )
            for name in names
        }
        prepared = self._criterion.prepare(outputs, targets, progress)
        low = sum(shares[: self._rank])
        parts = []
        for micro, on in zip(batch["micros"], batch["counted"], strict=True):
            # What counts for nothing may have any row's targets.
            start, size = (low if on else 0), len(micro["rows"])
            parts.append({name: values[start : start + size] for name, values in prepared.items()})
            low += size if on else 0
        return parts

    def _gathered(self, own: list[Tensor], like: Tensor, shares: list[int]) -> Tensor:
        """The rows of all processes, in the order of their ranks."""
        rows = torch.cat(own) if own else like[:0]
        if self._world == 1:
            return rows
        padded = like.new_zeros((max(shares), *like.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(found, padded)
        return torch.cat([part[:share] for part, share in zip(found, shares, strict=True)])


def _with(micro: Mapping[str, Any], prepared: Mapping[str, Tensor]) -> dict[str, Any]:
    return {**micro, "targets": {**micro["targets"], **prepared}}


def _again(model: nn.Module, micro: Mapping[str, Any], state: tuple[Tensor, list[Tensor]]) -> Tensor:
    _set_random_state(state)
    outputs: Tensor = model(**micro["inputs"])
    return outputs


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _set_random_state(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
