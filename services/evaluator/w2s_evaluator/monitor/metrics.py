"""What the monitor exports: for each student, and for each teacher in its window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from w2s.metrics.estimate import Estimate
from w2s_evaluator.monitor.confidences import BOUNDS
from w2s_evaluator.monitor.figures import Figures
from w2s_evaluator.monitor.observation import current_seconds
from w2s_evaluator.monitor.reports import RecentReports, Report
from w2s_evaluator.monitor.watched import Watched

_PREFIX = "w2s_evaluator_monitor"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# A scrape shows figures that are no older.
_AGE_S = 2.0
_OUTCOMES = {"accepted": "accepted", "duplicate": "duplicates", "shed": "shed", "refused": "refused"}
_SHARES = {
    "disagreement": "Share on which student and teacher differ",
    "confident_disagreement": "Share on which they differ and the student is confident",
    "blind_spot_exposure": "Share on which the student is confident and the teacher is not",
    "blind_spot_rate": "Share on which the student is confidently wrong and the teacher not confident",
    "student_accuracy": "The student's accuracy where the truth is known",
    "teacher_accuracy": "The teacher's accuracy where the truth is known",
}
_BY_TEACHER = ("student", "teacher", "dimension")
_Families = dict[str, Metric]


class MonitorMetrics:
    """The monitor's metrics.

    Args:
        registry: Where the metrics are.
        dropped: Counts what caps keep from being exported, by kind.
    """

    def __init__(self, registry: CollectorRegistry, dropped: Counter) -> None:
        self._registry = registry
        self._dropped = dropped.labels("student")
        self._seconds = Histogram(
            f"{_PREFIX}_label_seconds", "One call for labels to the supervisor", registry=registry, buckets=_SECONDS
        )

    def asked(self, seconds: float) -> None:
        """Counts a call to the supervisor."""
        self._seconds.observe(seconds)

    def dropped(self, number: int = 1) -> None:
        """Counts students, or teachers of one student, that are not exported because there are too many."""
        self._dropped.inc(number)

    def export(self, students: Callable[[], Iterable[Watched]]) -> None:
        """Exports the students that there are, whenever they are asked for."""
        self._registry.register(_Students(students))


class _Students(Collector):
    def __init__(self, students: Callable[[], Iterable[Watched]]) -> None:
        self._students = students
        self._reports = RecentReports(_AGE_S)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        counted, figured = _counted(), _figured()
        for watched in self._students():
            _add_counts(counted, watched)
            _add_report(counted, figured, self._reports.of(watched))
        yield from counted.values()
        yield from figured.values()


def _gauge(name: str, text: str, labels: Iterable[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=tuple(labels))


def _counted() -> _Families:
    """Families that need no label of a teacher's, without samples."""
    student = ("student",)
    families: list[Metric] = [
        CounterMetricFamily(
            f"{_PREFIX}_events", "Observations; those that are shed are accepted too", labels=(*student, "outcome")
        ),
        CounterMetricFamily(f"{_PREFIX}_labels", "Observations that waited for labels", labels=(*student, "outcome")),
        _gauge("waiting", "Observations that wait for labels", student),
        _gauge("lag_seconds", "Age of the oldest observation that waits for labels", student),
        HistogramMetricFamily(f"{_PREFIX}_student_confidence_ratio", "Probability of its answer", labels=student),
        _gauge("last_event_timestamp_seconds", "When the last observation came", student),
        _gauge("confidence_drift", "Population stability index of its confidence", (*student, "dimension")),
    ]
    return {family.name.removeprefix(f"{_PREFIX}_"): family for family in families}


def _figured() -> _Families:
    """Families of figures beside a teacher, without samples."""
    texts = {
        "observations": "Labelled observations in the window",
        "outcomes": "Those whose truth is known",
        **_SHARES,
        "blind_spot_rate_low": "Lower end of its 95 % interval",
        "deception_items": "Errors of the student that the ceiling knows better",
        "deception_base_rate": "The deception score of errors at random",
        "deception_lift": "The deception score over its base rate",
    }
    families = {name: _gauge(name, text, _BY_TEACHER) for name, text in texts.items()}
    for name in ("deception_score", "deception_score_low", "deception_score_high"):
        text = "Share of the errors, where the ceiling knows better, that the teacher cannot see"
        families[name] = _gauge(name, text, (*_BY_TEACHER, "reading"))
    area = (*_BY_TEACHER, "strong", "weak", "outcome")
    families["deception_area_examples"] = _gauge("deception_area_examples", "Examples of each area", area)
    return dict(families)


def _add_counts(families: _Families, watched: Watched) -> None:
    id_, counts, totals = watched.student.id, watched.counts, watched.history.totals
    for outcome, name in _OUTCOMES.items():
        _add(families["events"], (id_, outcome), getattr(counts, name))
    for outcome in ("labelled", "failed"):
        _add(families["labels"], (id_, outcome), getattr(counts, outcome))
    since = watched.waiting_since
    _add(families["waiting"], (id_,), len(watched.waiting))
    _add(families["lag_seconds"], (id_,), 0 if since is None else max(0.0, current_seconds() - since))
    _add(families["last_event_timestamp_seconds"], (id_,), watched.last_event)
    cumulated, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), totals.counts, strict=True):
        cumulated += count
        buckets.append((bound, cumulated))
    histogram = families["student_confidence_ratio"]
    assert isinstance(histogram, HistogramMetricFamily)
    histogram.add_metric((id_,), buckets, totals.sum)


def _add_report(counted: _Families, figured: _Families, report: Report) -> None:
    student = report.student
    _add(counted["confidence_drift"], (student.id, student.spec.dimension), report.drift)
    teachers = set()
    for figures in report.figures:
        # Two versions of one teacher would be one series: the newer one is shown.
        if figures.version.id not in teachers:
            teachers.add(figures.version.id)
            _add_figures(figured, (student.id, figures.version.id, student.spec.dimension), figures)


def _add_figures(families: _Families, labels: tuple[str, ...], figures: Figures) -> None:
    _add(families["observations"], labels, figures.observations)
    _add(families["outcomes"], labels, figures.outcomes)
    for name in _SHARES:
        _add(families[name], labels, getattr(figures, name).value)
    interval = figures.blind_spot_rate.interval
    _add(families["blind_spot_rate_low"], labels, interval.low if interval else None)
    if (found := figures.deception) is None:
        return
    _add(families["deception_items"], labels, found.ds_errors.n)
    _add(families["deception_base_rate"], labels, found.base_rate.value)
    _add(families["deception_lift"], labels, found.lift.value)
    _add_score(families, (*labels, "errors"), found.ds_errors)
    if found.ds_conflict_tax:
        _add_score(families, (*labels, "conflict_tax"), found.ds_conflict_tax)
    for area in found.areas:
        words = ["known" if flag else "unknown" for flag in (area.strong_known, area.weak_known)]
        for outcome in ("right", "wrong"):
            _add(families["deception_area_examples"], (*labels, *words, outcome), getattr(area, outcome))


def _add_score(families: _Families, labels: tuple[str, ...], score: Estimate) -> None:
    _add(families["deception_score"], labels, score.value)
    if score.interval:
        _add(families["deception_score_low"], labels, score.interval.low)
        _add(families["deception_score_high"], labels, score.interval.high)


def _add(family: Metric, labels: tuple[str, ...], value: float | None) -> None:
    """Adds a sample; what is undefined has none."""
    assert isinstance(family, GaugeMetricFamily | CounterMetricFamily)
    if value is not None:
        family.add_metric(labels, value)
