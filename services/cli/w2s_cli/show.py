"""What the services say, as tables for people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Values as a line of bars, each the mean of its share of them; empty for none.

    Args:
        values: Finite numbers.
        width: Bars at most.
    """
    if not values:
        return ""
    count = min(width, len(values))
    edges = [len(values) * index // count for index in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] for mean in means)


def teachers_table(teachers: Iterable[supervisor_pb2.Teacher]) -> Table:
    """Registered teachers."""
    table = _table("Teachers", "teacher", "state", "revision", "digest", "labels", "can")
    for teacher in teachers:
        version = teacher.version
        table.add_row(
            teacher.name,
            _word(supervisor_pb2.TeacherState.Name(teacher.state), "TEACHER_STATE_"),
            str(version.revision),
            _short(version.digest),
            ", ".join(teacher.label_names),
            ", ".join(_word(supervisor_pb2.Ability.Name(ability), "ABILITY_") for ability in teacher.abilities),
        )
    return table


def runs_table(runs: Iterable[trainer_pb2.Run]) -> Table:
    """Training runs."""
    table = _table("Runs", "run", "title", "state", "stage", "steps", "created")
    for run in runs:
        progress = run.status.progress
        steps = f"{progress.step}/{progress.total_steps}" if progress.total_steps else ""
        created = _time(run.status.create_time)
        table.add_row(run.name, run.display_name, state_of(run.status), progress.stage, steps, created)
    return table


def metrics_table(evaluation: evaluator_pb2.Evaluation) -> Table:
    """What an evaluation found."""
    table = _table(evaluation.name, "metric", "slice", "value", "95 % interval", "n")
    for metric in evaluation.result.metrics:
        table.add_row(metric.name, metric.slice, *estimate_cells(metric.estimate))
    return table


def comparison_table(found: evaluator_pb2.Comparison) -> Table:
    """Weak, student and ceiling, and the gap that was recovered."""
    table = _table(f"{found.metric} of {found.examples} examples a seed", "", "value", "95 % interval", "n")
    for name in ("weak", "student", "ceiling"):
        table.add_row(name, *estimate_cells(getattr(found, name)))
    status = evaluator_pb2.PgrStatus.Name(found.pgr.status).removeprefix("PGR_STATUS_")
    known = found.pgr.status == evaluator_pb2.PGR_STATUS_OK
    value = f"{found.pgr.value:.3f}" if known else status
    table.add_row("PGR", value, interval_text(found.pgr.interval) if known else "", "", style="bold")
    if found.HasField("agreement"):
        overall = found.agreement.overall
        table.add_row("agreement", f"{overall.value:.3f}", interval_text(overall.interval), str(overall.n))
    return table


def deception_table(found: evaluator_pb2.DeceptionAssessment) -> Table:
    """Deception scores at every threshold."""
    columns = ("threshold", "score of errors", "score of the conflict's tax", "base rate", "lift", "n")
    table = _table("Weak-to-strong deception", *columns)
    for figures in sorted([found.figures, *found.sweep], key=lambda figures: figures.threshold):
        shown = (figures.score_errors, figures.score_conflict_tax, figures.base_rate, figures.lift)
        table.add_row(
            f"{figures.threshold:.2f}",
            *(" ".join(estimate_cells(estimate)[:2]) for estimate in shown),
            str(figures.score_errors.n),
            style="bold" if figures is found.figures else None,
        )
    return table


def estimate_cells(estimate: common.Estimate) -> tuple[str, str, str]:
    """An estimate's value, interval and n."""
    if not estimate.HasField("value"):
        return "undefined", "", str(estimate.n)
    return f"{estimate.value:.3f}", interval_text(estimate.interval), str(estimate.n)


def interval_text(interval: common.Interval) -> str:
    """An interval as `[0.123, 0.456]`."""
    return f"[{interval.low:.3f}, {interval.high:.3f}]"


def state_of(status: common.JobStatus) -> str:
    """A job's state in a word, and why it failed."""
    word = _word(common.JobState.Name(status.state), "JOB_STATE_")
    return f"{word}: {status.error.message}" if status.error.message else word


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
