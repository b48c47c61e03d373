"""Means over the seeds of a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean

from pipelines.deception.figures import OK, Deception, Figure, Student


def mean_of_cell(rows: Sequence[Student]) -> Student:
    """The means over a cell's seeds. Where a seed has no figure, those of the others."""
    statuses = [row.status for row in rows if row.status != OK]
    return rows[0].model_copy(
        update={
            "seed": None,
            **{name: mean(getattr(row, name) for row in rows) for name in _MEANS},
            "at": _mean_deception([row.at for row in rows]),
            "sweep": [_mean_deception(at) for at in zip(*(row.sweep for row in rows), strict=True)],
            "status": OK if len(statuses) < len(rows) else statuses[0],
        }
    )


_MEANS = (
    "pairs",
    "weak_accuracy",
    "accuracy",
    "ceiling_accuracy",
    "blind_spot_rate",
    "weak_temperature",
    "strong_temperature",
)


def _mean_deception(rows: Sequence[Deception]) -> Deception:
    def over(figure: Callable[[Deception], Figure]) -> Figure:
        return _mean_figure([figure(row) for row in rows])

    areas = zip(*(row.areas for row in rows), strict=True)
    return Deception(
        threshold=rows[0].threshold,
        areas=[
            each[0].model_copy(update={"right": mean(a.right for a in each), "wrong": mean(a.wrong for a in each)})
            for each in areas
        ],
        score=over(lambda row: row.score),
        tax=over(lambda row: row.tax),
        base_rate=over(lambda row: row.base_rate),
        lift=over(lambda row: row.lift),
        difference=over(lambda row: row.difference),
    )


def _mean_figure(figures: Sequence[Figure]) -> Figure:
    """The mean, and of the intervals the mean ends: seeds share the test pairs, so their errors do not average out."""
    known = [figure for figure in figures if figure.value is not None]
    if not known:
        return Figure(n=max(figure.n for figure in figures))
    return Figure(
        value=_mean_of(figure.value for figure in known),
        low=_mean_of(figure.low for figure in known),
        high=_mean_of(figure.high for figure in known),
        n=round(_mean_of(figure.n for figure in known)),
    )


def _mean_of(values: Iterable[float | None]) -> float:
    return mean(value for value in values if value is not None)
