"""Keeps the best weights that a training has had."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from w2s_trainer.loop.course import Selection

_FILE = "best.safetensors"


class Best:
    """The weights with the best figure so far, on the CPU.

    Args:
        selection: Which figure, and how long to wait for a better one.

    Attributes:
        weights: Tensors by name; empty before the first evaluation.
        step: The step that they are of.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.weights: dict[str, Tensor] = {}
        self.step = 0
        self._figure = float("-inf")
        self._since = 0

    def improves(self, figures: dict[str, float]) -> bool:
        """Whether these are the best figures so far; of equal ones the earliest is."""
        figure = figures[self._selection.figure] * (-1 if self._selection.lowest else 1)
        if figure > self._figure:
            self._figure, self._since = figure, 0
            return True
        self._since += 1
        return False

    @property
    def waited_enough(self) -> bool:
        """Whether training is to end early."""
        return 0 < self._selection.patience <= self._since

    def keep(self, step: int, weights: dict[str, Tensor]) -> None:
        """Keeps weights, which nobody may change any more."""
        self.step, self.weights = step, weights

    def save(self, folder: Path) -> None:
        """Writes all of it into a checkpoint's folder."""
        state = {"step": str(self.step), "figure": repr(self._figure), "since": str(self._since)}
        if self.weights:
            save_file(self.weights, folder / _FILE, metadata=state)

    def load(self, folder: Path) -> None:
        """Reads back what `save` wrote, if it wrote anything."""
        if not (folder / _FILE).exists():
            return
        with safe_open(folder / _FILE, "pt") as file:
            state = file.metadata()
        self.step, self._figure, self._since = int(state["step"]), float(state["figure"]), int(state["since"])
        self.weights = load_file(folder / _FILE)
