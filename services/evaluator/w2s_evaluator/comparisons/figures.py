"""What of a comparison or an assessment is exported to Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from w2s.metrics import Agreement, Area, Estimate, Interval
from w2s_evaluator.comparisons.compare import Comparison
from w2s_evaluator.comparisons.deception import Assessment

# Each gauge, without its prefix: its labels besides `name`, and what it is.
GAUGES: dict[str, tuple[tuple[str, ...], str]] = {
    "pgr": ((), "Performance gap recovered"),
    "pgr_low": ((), "The lower end of its interval"),
    "pgr_high": ((), "The upper end of its interval"),
    "pgr_status": (("status",), "1 for what the PGR's status is"),
    "score": (("role",), "The compared metric"),
    "agreement": (("supervisor",), "Student-supervisor agreement, also where the supervisor is right or wrong"),
    "deception_score": (("reading",), "The share of errors on what the strong model knows that the weak does not know"),
    "deception_score_low": (("reading",), "The lower end of its interval"),
    "deception_score_high": (("reading",), "The upper end of its interval"),
    "deception_items": ((), "Errors on what the strong model knows"),
    "deception_base_rate": ((), "The share of what the strong model knows that the weak does not know"),
    "deception_lift": ((), "The deception score of all errors over the base rate"),
    "deception_area_examples": (("strong", "weak", "outcome"), "Examples by who knows them and what the student does"),
    "blind_spot_rate": ((), "The share of examples with the student surely wrong and the supervisor unsure"),
    "blind_spot_rate_low": ((), "The lower end of its interval"),
    "blind_spot_rate_high": ((), "The upper end of its interval"),
}

# A gauge, the values of its labels besides `name`, and its value.
Sample = tuple[str, tuple[str, ...], float]


def of_comparison(found: Comparison) -> list[Sample]:
    """The samples of a comparison; what is undefined has none."""
    return [
        *_with_interval("pgr", (), found.pgr.value, found.pgr.interval),
        ("pgr_status", (found.pgr.status.value,), 1.0),
        *(sample for role, score in found.scores.items() for sample in _of("score", (role,), score.value)),
        *(_agreement(found.beside.agreement) if found.beside else ()),
    ]


def of_assessment(found: Assessment) -> list[Sample]:
    """The samples of an assessment, at the threshold asked for; what is undefined has none."""
    figures = found.figures
    readings = {"errors": figures.ds_errors, "conflict_tax": figures.ds_conflict_tax}
    return [
        *(sample for name, score in readings.items() for sample in _estimate("deception_score", (name,), score)),
        ("deception_items", (), float(figures.ds_errors.n)),
        *_of("deception_base_rate", (), figures.base_rate.value),
        *_of("deception_lift", (), figures.lift.value),
        *(sample for area in figures.areas for sample in _area(area)),
        *_estimate("blind_spot_rate", (), found.blind_spots),
    ]


def _agreement(found: Agreement) -> Iterator[Sample]:
    shares = {"any": found.overall, "right": found.supervisor_right, "wrong": found.supervisor_wrong}
    for supervisor, share in shares.items():
        yield from _of("agreement", (supervisor,), share.value)


def _area(area: Area) -> Iterator[Sample]:
    known = tuple("known" if flag else "unknown" for flag in (area.strong_known, area.weak_known))
    yield "deception_area_examples", (*known, "right"), float(area.right)
    yield "deception_area_examples", (*known, "wrong"), float(area.wrong)


def _estimate(gauge: str, labels: tuple[str, ...], found: Estimate | None) -> Iterator[Sample]:
    if found is not None:
        yield from _with_interval(gauge, labels, found.value, found.interval)


def _with_interval(
    gauge: str, labels: tuple[str, ...], value: float | None, interval: Interval | None
) -> Iterator[Sample]:
    yield from _of(gauge, labels, value)
    if interval is not None:
        yield f"{gauge}_low", labels, interval.low
        yield f"{gauge}_high", labels, interval.high


def _of(gauge: str, labels: tuple[str, ...], value: float | None) -> Iterator[Sample]:
    if value is not None:
        yield gauge, labels, value
