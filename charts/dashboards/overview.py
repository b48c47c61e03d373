"""How weak-to-strong stands: what was recovered, by which models, and how fresh that is."""

from __future__ import annotations

from dashboards.grafana import Json, Panel, Query, band, bars, dashboard, lines, stat, table, variable

_NAMED = 'name="$name"'


def overview() -> Json:
    """The first page."""
    return dashboard(
        "w2s-overview",
        "w2s / Overview",
        [("Now", _now()), ("$name", _named()), ("Work", _work())],
        [variable("name", "label_values(w2s_evaluator_published_timestamp_seconds, name)")],
    )


def _now() -> list[Panel]:
    return [
        table(
            "Alerts that fire",
            'count by (alertname, severity) (ALERTS{alertname=~"W2S.+", alertstate="firing"})',
            width=6,
        ),
        bars("PGR of all names", Query("w2s_evaluator_pgr", "{{name}}"), unit="percentunit", width=6),
        table(
            "Its status",
            "w2s_evaluator_pgr_status == 1",
            width=6,
            text="UNDEFINED_GAP, GAP_BELOW_NOISE and SAME_MODEL have no PGR: a number would mean nothing.",
        ),
        table("Active teacher", "w2s_supervisor_teacher_info", width=6),
    ]


def _named() -> list[Panel]:
    return [
        band(
            "Performance gap recovered",
            f"w2s_evaluator_pgr_low{{{_NAMED}}}",
            f"w2s_evaluator_pgr{{{_NAMED}}}",
            f"w2s_evaluator_pgr_high{{{_NAMED}}}",
            Query(f"name:w2s_evaluator_pgr_low:max_max7d{{{_NAMED}}}", "best lower bound of 7 days"),
            text="With its 95 % interval, from a paired bootstrap. Absent where it means nothing.",
        ),
        lines(
            "Scores",
            Query(f"w2s_evaluator_score{{{_NAMED}}}", "{{role}}"),
            text="Of the metric compared: accuracy, unless said otherwise.",
        ),
        lines(
            "Agreement of student and supervisor",
            Query(f"w2s_evaluator_agreement{{{_NAMED}}}", "supervisor {{supervisor}}"),
            unit="percentunit",
            bounds=(0, 1),
            text="Where the supervisor is wrong, less is better.",
        ),
        stat(
            "Age of these figures",
            Query(f"time() - max(w2s_evaluator_published_timestamp_seconds{{{_NAMED}}})", "age"),
            unit="s",
        ),
    ]


def _work() -> list[Panel]:
    return [
        stat(
            "Since an evaluation",
            Query("time() - max(w2s_evaluator_last_evaluation_timestamp_seconds)", "age"),
            unit="s",
        ),
        stat("Services up", Query('up{job=~"(.+-)?w2s-(supervisor|trainer|evaluator)"}', "{{job}}")),
        lines(
            "Evaluations",
            Query("sum by (state) (increase(w2s_evaluator_evaluations_total[1h]))", "{{state}}"),
            text="Ended in an hour.",
        ),
        lines(
            "Comparisons",
            Query("sum by (pgr_status) (increase(w2s_evaluator_comparisons_total[1h]))", "{{pgr_status}}"),
            text="Made in an hour.",
        ),
        lines(
            "Duration of an evaluation",
            Query(
                "histogram_quantile(0.5, sum by (le) (rate(w2s_evaluator_evaluation_seconds_bucket[1h])))",
                "half of them",
            ),
            unit="s",
        ),
        lines(
            "Predictions",
            Query("sum by (outcome) (increase(w2s_evaluator_predictions_total[1h]))", "{{outcome}}"),
            text="Of evaluations that ended in an hour.",
        ),
        lines("Runs", Query("max by (state) (w2s_trainer_stored_runs)", "{{state}}")),
    ]
