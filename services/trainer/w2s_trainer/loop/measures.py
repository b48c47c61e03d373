"""Figures of a training: sums over rows as they pass, means when they are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_REPORT_SECONDS = 10.0


class Tally:
    """Sums of losses and measures since they were last told, kept on their device."""

    def __init__(self) -> None:
        self.begin()

    @property
    def due(self) -> bool:
        """Whether it is long since they were told."""
        return time.perf_counter() - self._since > _REPORT_SECONDS

    def add_terms(self, terms: Mapping[str, Tensor], weight: Tensor, *, counted: bool) -> None:
        """Adds a micro-batch's terms, shape [B] each, of a batch whose rows weigh `weight` together.

        What is not counted adds nothing but its names, which every process is to have.
        """
        for name, values in terms.items():
            self._add(self._losses, name, counted * values.detach().sum() / weight)

    def add_measures(self, measures: Mapping[str, Tensor], *, counted: bool) -> None:
        """Adds a micro-batch's measures, shape [B] each; counted as terms are."""
        for name, values in measures.items():
            self._add(self._sums, name, counted * values.detach().sum())
            self._add(self._rows, name, torch.full((), counted * len(values), device=values.device))

    def add_step(self, rows: int, tokens: int) -> None:
        """Counts an optimiser step of so many examples and tokens, in all processes."""
        self._steps += 1
        self._examples += rows
        self._tokens += tokens

    def told(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means since the last time, and rates a second; begins anew.

        Args:
            total: Adds up what all processes have; they all tell at once.
        """
        seconds = max(time.perf_counter() - self._since, 1e-9)
        losses = {name: value / self._steps for name, value in _totals(self._losses, total).items()}
        rows = _totals(self._rows, total)
        figures = {"loss": sum(losses.values())}
        if len(losses) > 1:
            figures |= {f"loss_{name}": value for name, value in losses.items()}
        figures |= {name: value / rows[name] for name, value in _totals(self._sums, total).items()}
        figures["examples_per_second"] = self._examples / seconds
        figures["tokens_per_second"] = self._tokens / seconds
        self.begin()
        return figures

    def begin(self) -> None:
        """Begins anew, and counts the seconds from here."""
        self._losses: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor] = {}
        self._steps = self._examples = self._tokens = 0
        self._since = time.perf_counter()

    @staticmethod
    def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
        sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value


def _totals(sums: Mapping[str, Tensor], total: Callable[[Tensor], Tensor]) -> dict[str, float]:
    # At once, and in the order of the names, which all processes share.
    found = total(torch.stack(list(sums.values())).double()).tolist() if sums else []
    return dict(zip(sums, found, strict=True))
