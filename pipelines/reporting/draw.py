"""Draws plots alike, in every report."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipelines.reporting.document import Plot

_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
    # The same figures give the same bytes.
    "svg.hashsalt": "w2s",
}
_COLORS = {
    "weak": "#8a8f98",
    "ceiling": "#2a9d5c",
    "naive": "#2f6fde",
    "confidence": "#e07b22",
    "bootstrapping": "#b5485d",
    "generative": "#5b8c9e",
    "probe": "#9a7d0a",
}
_OTHERS = ("#2f6fde", "#e07b22", "#b5485d", "#5b8c9e", "#9a7d0a", "#7b4fb5", "#3f4b5a", "#c46fa8")


def color(name: str, among: list[str] | None = None) -> str:
    """The colour of a method or role, the same in every plot; of another name, by its place among those given."""
    return _COLORS.get(name) or _OTHERS[(among or [name]).index(name) % len(_OTHERS)]


def draw(name: str, caption: str, paint: Callable[[], Figure]) -> Plot:
    """A plot.

    Args:
        name: Its files' name, without an ending.
        caption: What stands below it.
        paint: Makes the figure; called with the style set.
    """
    with plt.rc_context(_STYLE):
        figure = paint()
        # Without versions and times in them.
        png = _save(figure, "png", {"Software": None})
        svg = _save(figure, "svg", {"Date": None, "Creator": None})
        plt.close(figure)
    return Plot(name, caption, png, svg)


def _save(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=130, metadata=metadata)
    return stream.getvalue()
