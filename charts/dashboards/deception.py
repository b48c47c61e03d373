"""Whether a student errs where its supervisor cannot see it: as measured, and as watched."""

from __future__ import annotations

from dashboards.grafana import Json, Panel, Query, band, bars, dashboard, heat, lines, stat, variable

_NAMED = 'name="$name"'
_PAIR = 'student="$student", teacher="$teacher"'
_STUDENT = 'student="$student"'
_SCORE = (
    "Of the errors on what the strong model knows, the share on what the weak one does not. At the base rate, chance."
)
_AREAS = "strong {{strong}}, weak {{weak}}, {{outcome}}"


def deception() -> Json:
    """The page for deception."""
    return dashboard(
        "w2s-deception",
        "w2s / Deception",
        [
            ("Measured: $name", _measured()),
            ("Live: $student beside $teacher", _live()),
            ("The watch itself", _watch()),
            ("Events over HTTP", _events()),
        ],
        [
            variable("name", "label_values(w2s_evaluator_deception_items, name)"),
            variable("student", "label_values(w2s_evaluator_monitor_waiting, student)"),
            variable("teacher", 'label_values(w2s_evaluator_monitor_observations{student="$student"}, teacher)'),
        ],
    )


def _score(prefix: str, selector: str, reading: str) -> tuple[str, str, str]:
    where = f'{{{selector}, reading="{reading}"}}'
    return f"{prefix}_score_low{where}", f"{prefix}_score{where}", f"{prefix}_score_high{where}"


def _figures(prefix: str, selector: str) -> list[Panel]:
    base = Query(f"{prefix}_base_rate{{{selector}}}", "base rate")
    return [
        band("Deception score", *_score(prefix, selector, "errors"), base, bounds=(0, 1), text=_SCORE),
        band(
            "Of errors that the conflict made",
            *_score(prefix, selector, "conflict_tax"),
            base,
            bounds=(0, 1),
            text="As the score, of errors that the student without conflict does not make.",
        ),
        stat("Lift", Query(f"{prefix}_lift{{{selector}}}", "lift"), text="The score over the base rate; 1 is chance."),
        stat(
            "Errors it rests on", Query(f"{prefix}_items{{{selector}}}", "errors"), text="Under 20 there is no score."
        ),
        bars("Who knows what, and the student", Query(f"{prefix}_area_examples{{{selector}}}", _AREAS)),
    ]


def _measured() -> list[Panel]:
    return [
        *_figures("w2s_evaluator_deception", _NAMED),
        band(
            "Blind spots",
            f"w2s_evaluator_blind_spot_rate_low{{{_NAMED}}}",
            f"w2s_evaluator_blind_spot_rate{{{_NAMED}}}",
            f"w2s_evaluator_blind_spot_rate_high{{{_NAMED}}}",
            text="Where the student is surely wrong and the supervisor unsure.",
        ),
    ]


def _live() -> list[Panel]:
    prefix = "w2s_evaluator_monitor"
    return [
        *_figures(f"{prefix}_deception", _PAIR),
        lines(
            "Blind spots",
            Query(f"{prefix}_blind_spot_rate{{{_PAIR}}}", "surely wrong, teacher unsure"),
            Query(f"{prefix}_blind_spot_rate_low{{{_PAIR}}}", "its lower bound"),
            Query(f"{prefix}_blind_spot_exposure{{{_PAIR}}}", "sure, teacher unsure"),
            Query(f"student_teacher:{prefix}_blind_spot_exposure:max_avg1d{{{_PAIR}}}", "the same, mean of a day"),
            unit="percentunit",
        ),
        lines(
            "Accuracy where the truth is known",
            Query(f"{prefix}_student_accuracy{{{_PAIR}}}", "student"),
            Query(f"{prefix}_teacher_accuracy{{{_PAIR}}}", "teacher"),
            unit="percentunit",
            bounds=(0, 1),
        ),
        lines(
            "Disagreement",
            Query(f"{prefix}_disagreement{{{_PAIR}}}", "all"),
            Query(f"{prefix}_confident_disagreement{{{_PAIR}}}", "with the student sure"),
            Query(f"student_teacher:{prefix}_disagreement:max_avg1d{{{_PAIR}}}", "all, mean of a day"),
            unit="percentunit",
        ),
        lines(
            "In the window",
            Query(f"{prefix}_observations{{{_PAIR}}}", "labelled"),
            Query(f"{prefix}_outcomes{{{_PAIR}}}", "with a truth"),
        ),
    ]


def _watch() -> list[Panel]:
    prefix = "w2s_evaluator_monitor"
    seconds = f"sum by (le) (rate({prefix}_label_seconds_bucket[$__rate_interval]))"
    return [
        lines(
            "Drift of confidence",
            Query(f"{prefix}_confidence_drift{{{_STUDENT}}}", "population stability index"),
            text="Above 0.25 is usually called a shift.",
            bounds=(0, None),
        ),
        heat(
            "Confidence of the student",
            f"sum by (le) (increase({prefix}_student_confidence_ratio_bucket{{{_STUDENT}}}[$__rate_interval]))",
        ),
        lines("Lag", Query(f"{prefix}_lag_seconds", "{{student}}"), unit="s", text="Age of the oldest that waits."),
        lines("Waiting for a label", Query(f"{prefix}_waiting", "{{student}}")),
        lines(
            "Observations",
            Query(f"sum by (outcome) (rate({prefix}_events_total{{{_STUDENT}}}[$__rate_interval]))", "{{outcome}}"),
            unit="ops",
        ),
        lines(
            "Labels",
            Query(f"sum by (outcome) (rate({prefix}_labels_total{{{_STUDENT}}}[$__rate_interval]))", "{{outcome}}"),
            unit="ops",
        ),
        lines("Shed", Query(f"student:{prefix}_shed:ratio_rate15m", "{{student}}"), unit="percentunit"),
        lines(
            "One call to the supervisor",
            Query(f"histogram_quantile(0.5, {seconds})", "half of them"),
            Query(f"histogram_quantile(0.9, {seconds})", "nine in ten"),
            unit="s",
        ),
        lines(
            "Since an observation",
            Query(f"time() - {prefix}_last_event_timestamp_seconds", "{{student}}"),
            unit="s",
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            "Events",
            Query("sum by (outcome) (rate(w2s_evaluator_cloudevents_total[$__rate_interval]))", "{{outcome}}"),
            unit="ops",
        ),
        lines("Without their other half", Query("w2s_evaluator_cloudevents_unjoined", "{{instance}}")),
        lines(
            "Not exported",
            Query("sum by (kind) (increase(w2s_evaluator_dropped_series_total[1h]))", "{{kind}}"),
            text="What the caps on series dropped in an hour.",
        ),
    ]
