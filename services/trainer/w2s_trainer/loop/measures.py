"""Figures of a training: sums over rows as they pass, means when they are told."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor


class Tally:
    """Sums of losses and measures since they were last told, kept on their device."""

    def __init__(self) -> None:
        self._clear()

    def add_terms(self, terms: Mapping[str, Tensor], weight: Tensor) -> None:
        """Adds a micro-batch's terms, shape [B] each, of a batch whose rows weigh `weight` together."""
        for name, values in terms.items():
            self._add(self._losses, name, values.detach().sum() / weight)

    def add_measures(self, measures: Mapping[str, Tensor]) -> None:
        """Adds a micro-batch's measures, shape [B] each."""
        for name, values in measures.items():
            self._add(self._sums, name, values.detach().sum())
            self._rows[name] = self._rows.get(name, 0) + len(values)

    def add_step(self, rows: int, tokens: int) -> None:
        """Counts an optimiser step of so many examples and tokens."""
        self._steps += 1
        self._examples += rows
        self._tokens += tokens

    def told(self) -> dict[str, float]:
        """The means since the last time, and rates a second; begins anew."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        steps = max(self._steps, 1)
        losses = {name: float(value) / steps for name, value in self._losses.items()}
        figures = {"loss": sum(losses.values())}
        if len(losses) > 1:
            figures |= {f"loss_{name}": value for name, value in losses.items()}
        figures |= {name: float(value) / self._rows[name] for name, value in self._sums.items()}
        figures["examples_per_second"] = self._examples / seconds
        figures["tokens_per_second"] = self._tokens / seconds
        self._clear()
        return figures

    def _clear(self) -> None:
        self._losses: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}
        self._steps = self._examples = self._tokens = 0
        self._since = time.perf_counter()

    @staticmethod
    def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
        sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value
