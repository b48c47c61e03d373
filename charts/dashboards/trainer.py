"""The runs: how many, how they learn, how fast, and what a crash would cost."""

from __future__ import annotations

from typing import Any

from dashboards.grafana import Json, Panel, Query, dashboard, lines, stat

_JOB = 'job=~"(.+-)?w2s-trainer"'


def trainer() -> Json:
    """The page for the trainer."""
    return dashboard(
        "w2s-trainer",
        "w2s / Trainer",
        [("Runs", _runs()), ("Learning", _learning()), ("Speed and safety", _speed())],
    )


def _by_run(title: str, metric: str, unit: str = "short", **more: Any) -> Panel:
    return lines(title, Query(f"w2s_trainer_{metric}", "{{run}}"), unit=unit, **more)


def _runs() -> list[Panel]:
    return [
        stat("Runs", Query("max by (state) (w2s_trainer_stored_runs)", "{{state}}"), width=8),
        stat("Waiting", Query("max(w2s_trainer_queue_length)", "runs")),
        stat("Steps of succeeded runs", Query("sum(increase(w2s_trainer_steps_total[1d]))", "a day")),
        lines(
            "Ended",
            Query("sum by (state) (increase(w2s_trainer_runs_total[1h]))", "{{state}}"),
            text="In an hour, on servers that are up.",
        ),
        lines("Progress", Query("run:w2s_trainer_step:progress", "{{run}}"), unit="percentunit", bounds=(0, 1)),
        lines(
            "Half of the runs take",
            Query("histogram_quantile(0.5, sum by (le) (rate(w2s_trainer_run_seconds_bucket[1d])))", "succeeded"),
            unit="s",
        ),
    ]


def _learning() -> list[Panel]:
    return [
        lines("Loss", Query("w2s_trainer_loss", "{{run}} {{component}}"), text="In nats."),
        _by_run("Agreement with the labels", "label_accuracy", "percentunit", text="On what is trained on."),
        _by_run(
            "Agreement with the truth",
            "truth_accuracy",
            "percentunit",
            text="On what is trained on. Above the labels' own: the student generalises beyond them.",
        ),
        _by_run("Learning rate", "learning_rate", "sci"),
        _by_run("Norm of the gradients", "gradient_norm", text="Before they are clipped."),
    ]


def _speed() -> list[Panel]:
    return [
        _by_run("Tokens", "tokens_per_second", "ops"),
        _by_run("Examples", "examples_per_second", "ops"),
        _by_run("Since a checkpoint", "checkpoint_age_seconds", "s", text="What a crash would cost."),
        lines("Began again", Query("sum(increase(w2s_trainer_restarts_total[1h]))", "in an hour")),
        _by_run("Most memory of a GPU", "gpu_memory_bytes", "bytes"),
        lines("Memory", Query(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"), unit="bytes"),
    ]
