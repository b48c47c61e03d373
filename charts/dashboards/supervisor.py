"""What the supervisor answers, how fast, and by which teacher."""

from __future__ import annotations

from dashboards.grafana import Json, Panel, Query, dashboard, heat, lines, stat, table, variable

_JOB = 'job=~"(.+-)?w2s-supervisor"'
_CALLS = 'grpc_service="w2s.supervisor.v1.SupervisorService"'
_RATE = "[$__rate_interval]"


def supervisor() -> Json:
    """The page for the supervisor."""
    return dashboard(
        "w2s-supervisor",
        "w2s / Supervisor",
        [("Calls", _calls()), ("Queues", _queues()), ("Labels of $teacher", _labels()), ("Teachers", _teachers())],
        [variable("teacher", "label_values(w2s_supervisor_labels_total, teacher)")],
    )


def _calls() -> list[Panel]:
    seconds = f"sum by (le, grpc_method) (rate(grpc_server_handling_seconds_bucket{{{_CALLS}}}{_RATE}))"
    return [
        lines(
            "By code",
            Query(f"sum by (grpc_code) (rate(grpc_server_handled_total{{{_CALLS}}}{_RATE}))", "{{grpc_code}}"),
            unit="reqps",
        ),
        lines(
            "By method",
            Query(f"sum by (grpc_method) (rate(grpc_server_started_total{{{_CALLS}}}{_RATE}))", "{{grpc_method}}"),
            unit="reqps",
        ),
        lines("Nine in ten end within", Query(f"histogram_quantile(0.9, {seconds})", "{{grpc_method}}"), unit="s"),
        lines(
            "Faults of label calls",
            Query("job:w2s_supervisor_label_faults:ratio_rate5m", "of 5 minutes"),
            Query("job:w2s_supervisor_label_faults:ratio_rate1h", "of an hour"),
            Query("job:w2s_supervisor_label_faults:ratio_rate6h", "of six hours"),
            unit="percentunit",
            text="The objective allows 0.5 % in 30 days. What callers do wrong is no fault.",
            bounds=(0, None),
        ),
        lines(
            "Refused, the queue being full",
            Query("job:w2s_supervisor_refused_calls:ratio_rate5m", "{{job}}"),
            unit="percentunit",
            bounds=(0, None),
        ),
        lines("In flight", Query(f"sum by (grpc_method) (grpc_server_in_flight{{{_CALLS}}})", "{{grpc_method}}")),
    ]


def _queues() -> list[Panel]:
    size = f"rate(w2s_supervisor_batch_size_sum{_RATE}) / rate(w2s_supervisor_batch_size_count{_RATE})"
    return [
        lines("Waiting sequences", Query("sum by (teacher) (w2s_supervisor_queue_length)", "{{teacher}}")),
        lines(
            "Nine in ten wait at most",
            Query("teacher:w2s_supervisor_queue_wait_seconds:p90_rate5m", "{{teacher}}"),
            unit="s",
        ),
        lines("Sequences a batch", Query(size, "{{teacher}}")),
        lines(
            "Tokens",
            Query(f"sum by (teacher) (rate(w2s_supervisor_tokens_total{_RATE}))", "{{teacher}} read"),
            Query(f"sum by (teacher) (rate(w2s_supervisor_generated_tokens_total{_RATE}))", "{{teacher}} generated"),
            unit="ops",
        ),
        lines("Memory", Query(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"), unit="bytes"),
        lines("Processors", Query(f"rate(process_cpu_seconds_total{{{_JOB}}}{_RATE})", "{{instance}}")),
    ]


def _labels() -> list[Panel]:
    where = '{teacher="$teacher"}'
    return [
        lines(
            "Labels",
            Query(f"sum(rate(w2s_supervisor_labels_total{where}{_RATE}))", "labelled"),
            Query(f"sum(rate(w2s_supervisor_failed_labels_total{where}{_RATE}))", "without a label"),
            unit="ops",
        ),
        heat(
            "Confidence",
            f"sum by (le) (increase(w2s_supervisor_label_confidence_ratio_bucket{where}{_RATE}))",
            text="The probability of the most probable class: where it is low, a student can err unseen.",
        ),
    ]


def _teachers() -> list[Panel]:
    seconds = 'sum by (le) (rate(w2s_supervisor_teacher_swap_seconds_bucket{outcome="succeeded"}[1d]))'
    return [
        table("Active", "w2s_supervisor_teacher_info"),
        lines(
            "Swaps",
            Query("sum by (outcome) (increase(w2s_supervisor_teacher_swaps_total[1h]))", "{{outcome}}"),
            text="Ended in an hour.",
        ),
        stat(
            "Half of the swaps take",
            Query(f"histogram_quantile(0.5, {seconds})", "succeeded"),
            unit="s",
        ),
        lines(
            "What failed behind teachers",
            Query("sum by (kind) (increase(w2s_supervisor_backend_errors_total[1h]))", "{{kind}}"),
            text="In an hour.",
        ),
        lines(
            "Jobs",
            Query("sum by (kind, state) (increase(w2s_supervisor_jobs_total[1h]))", "{{kind}} {{state}}"),
            text="Ended in an hour.",
        ),
    ]
