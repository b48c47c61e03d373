"""Runs the harness in a process of its own, which ends when nobody waits for it any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.jobs import Progress, Report
from w2s.jobs.threads import Check
from w2s.metrics import Direction, Estimate, Interval
from w2s.models.runtime import pick_device
from w2s_evaluator.evaluations.result import Metric
from w2s_evaluator.settings import EvaluatorSettings

_FIELD = "evaluation.spec.benchmarks.tasks"
_POLL_S = 0.1
_LEVEL = 0.95
# Tags and keys of task files that name code. Tasks are data.
_CODE = ("!function", "trust_remote_code", "unsafe_code")


def run(
    settings: EvaluatorSettings,
    folder: Path,
    tasks: Sequence[str],
    limit: int,
    shots: int | None,
    report: Report,
    check: Check,
) -> tuple[list[dict[str, Any]], list[Metric]]:
    """Evaluates a language model on tasks of the harness.

    Args:
        settings: Where the service's own task files are, and whether the hub may be asked.
        folder: The model, as transformers saves one.
        tasks: Names of tasks, >= 1.
        limit: Examples of each task at most; 0 for all.
        shots: Solved examples before each question; None for the task's own number.
        report: Told what goes on.
        check: Raises once the evaluation is to stop; the harness is killed then.

    Returns:
        A row for each sample of each task, with task, id, target, answers and metrics; and the figures.

    Raises:
        InvalidArgument: A task is not known, or its file names code.
        FailedPrecondition: The harness cannot run one of them, such as one whose data cannot be had.
    """
    report(Progress("benchmark", 0, 0))
    if settings.benchmark_tasks:
        _check_files(settings.benchmark_tasks)
    asked = {
        "model": str(folder),
        "tasks": list(tasks),
        "limit": limit or None,
        "shots": shots,
        "folder": str(settings.benchmark_tasks) if settings.benchmark_tasks else None,
        "device": str(pick_device(settings.device)),
        "threads": settings.threads,
    }
    said = _ask(asked, check, offline=not settings.allow_hub)
    if unknown := said.get("unknown"):
        near = f"; did you mean {', '.join(unknown['near'])}?" if unknown["near"] else ""
        raise InvalidArgument(f"{_FIELD}[{unknown['index']}]", f"there is no task {unknown['task']}{near}")
    if failure := said.get("failure"):
        raise FailedPrecondition(f"the harness cannot run {', '.join(tasks)}: {failure}")
    return said["samples"], [_metric(**found) for found in said["metrics"]]


def _check_files(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".py":
            raise InvalidArgument(_FIELD, f"{path.name} in the folder of tasks is code; tasks are data")
        if path.suffix not in (".yaml", ".yml"):
            continue
        text = path.read_text()
        if found := [name for name in _CODE if name in text]:
            raise InvalidArgument(_FIELD, f"{path.name} has {found[0]}, which runs code; tasks are data")


def _ask(asked: dict[str, Any], check: Check, *, offline: bool) -> dict[str, Any]:
    """What the harness's process answers."""
    variables = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1") if offline else {}
    with tempfile.TemporaryDirectory() as scratch:
        answer, log = Path(scratch, "answer.json"), Path(scratch, "log")
        with log.open("w") as lines:
            process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
                [sys.executable, "-m", "w2s_evaluator.benchmarks.harness", str(answer)],
                stdin=subprocess.PIPE,
                stdout=lines,
                stderr=lines,
                text=True,
                # The harness leaves files where it runs.
                cwd=scratch,
                env={**os.environ, **variables, "TOKENIZERS_PARALLELISM": "false"},
            )
            try:
                _hand_over(process, json.dumps(asked))
                while True:
                    check()
                    try:
                        process.wait(_POLL_S)
                        break
                    except subprocess.TimeoutExpired:
                        continue
            finally:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()
        if process.returncode or not answer.exists():
            last = log.read_text().strip().splitlines()[-1:]
            return {"failure": last[0] if last else f"it ended with {process.returncode}"}
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def _hand_over(process: subprocess.Popen[str], asked: str) -> None:
    # Its standard input stays open: the process ends when this one does.
    assert process.stdin
    process.stdin.write(asked + "\n")
    process.stdin.flush()


def _metric(task: str, name: str, value: float, error: float | None, n: int, higher: bool) -> Metric:
    half = None if error is None else NormalDist().inv_cdf((1 + _LEVEL) / 2) * error
    interval = None if half is None else Interval(value - half, value + half, _LEVEL)
    return Metric(
        name=f"{task}/{name}",
        slice="",
        estimate=Estimate(value, n, error, interval),
        direction=Direction.HIGHER if higher else Direction.LOWER,
    )
