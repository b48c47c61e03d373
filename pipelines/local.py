"""Runs a pipeline on this machine: kfp.local, with a readable log and as much fan-out as asked.

The stock runner runs at most two loop items at once, prints whole executor inputs, and
redirects standard output from several threads. This module replaces those parts of it, which
is why kfp is pinned exactly and a test runs every pipeline through here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from kfp import local
from kfp.local import logging_utils, subprocess_task_handler
from kfp.local.orchestrator import enhanced_dag_orchestrator

# A step, and all that it starts, ends once its standard input closes: at the runner's word, or with the runner.
_WATCH = "{ read -r _ <&3; kill -s KILL 0; } > /dev/null 2>&1 &"
_GUARDED = ["sh", "-c", f'exec 3<&0 < /dev/null; {_WATCH} exec 3<&-; exec "$@"', "sh"]


class Observer(Protocol):
    """Hears what the steps do; called from several threads."""

    def started(self, task: str) -> None:
        """A step has begun; `task` is its path in the run."""

    def line(self, task: str, text: str) -> None:
        """A step has printed a line."""

    def ended(self, task: str, ok: bool) -> None:
        """A step has ended."""


class StepFailed(RuntimeError):
    """A step failed; the message is its own error, and where its log is."""


class LocalRun:
    """One run of a pipeline on this machine.

    Args:
        root: Folder of the outputs, one folder a step.
        width: Loop items that run at once.
        observer: Hears what the steps do.
    """

    def __init__(self, root: Path, width: int, observer: Observer) -> None:
        self._root = root.resolve()
        self._width = width
        self._observer = observer
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._failure = ""
        self._stopped = False

    def run(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """Runs a pipeline to its end.

        Raises:
            StepFailed: A step failed.
        """
        # In a thread of its own: this one stays free to hear Ctrl-C, and to end the steps at once.
        with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
            try:
                thread.submit(self._run, pipeline, arguments).result()
            except RuntimeError as error:
                raise StepFailed(self._failure or str(error)) from None
            finally:
                self.stop()

    def _run(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        with self._patched():
            local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(self._root))
            pipeline(**arguments)

    def stop(self) -> None:
        """Ends the steps that run, and starts no other."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                assert process.stdin is not None
                process.stdin.close()

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        def width(executor: Any, max_workers: int | None = None) -> None:
            executor.conservative_max = self._width
            executor.max_workers = min(max_workers or self._width, self._width)

        with (
            # kfp logs what went wrong in its own words; the failed step has said it already.
            mock.patch.object(logging.getLogger(), "handlers", [logging.NullHandler()]),
            warnings.catch_warnings(action="ignore"),
            mock.patch.object(subprocess_task_handler, "run_local_subprocess", self._step),
            mock.patch.object(logging_utils, "local_logger_context", contextlib.nullcontext),
            mock.patch.object(logging_utils, "indented_print", contextlib.nullcontext),
            mock.patch.object(logging_utils, "print_horizontal_line"),
            mock.patch.object(enhanced_dag_orchestrator.ParallelExecutor, "__init__", width),
        ):
            yield

    def _step(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        inputs = json.loads(full_command[full_command.index("--executor_input") + 1])
        folder = Path(inputs["outputs"]["outputFile"]).parent
        folder.mkdir(parents=True, exist_ok=True)
        task = "/".join(folder.relative_to(self._root).parts[1:])
        process = self._start(full_command, env_vars)
        if process is None:
            return 1
        self._observer.started(task)
        error = ""
        with (folder / "log.txt").open("a") as log, process:
            assert process.stdout is not None
            for text in _without_dump(process.stdout):
                log.write(text)
                self._observer.line(task, text.rstrip("\n"))
                error = text.strip() if text.startswith("ERROR: ") else error
            process.wait()
        with self._lock:
            self._processes.discard(process)
            if process.returncode and self._stopped:
                return process.returncode
            if process.returncode and not self._failure:
                reason = error.removeprefix("ERROR: ") or f"{task} ended with code {process.returncode}"
                self._failure = f"{reason} (log: {folder / 'log.txt'})"
        self._observer.ended(task, process.returncode == 0)
        return process.returncode

    def _start(self, command: list[str], variables: dict[str, str] | None) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(  # noqa: S603 - kfp's own command for a step of ours
                [*_GUARDED, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                bufsize=1,
                env={**os.environ, **(variables or {})},
                # Ctrl-C reaches the runner, which ends its steps in order.
                start_new_session=True,
            )
            self._processes.add(process)
            return process


def _without_dump(lines: Iterator[str]) -> Iterator[str]:
    """Leaves out the executor's banner and its dump of the step's whole input."""
    skipping = False
    for line in lines:
        if "[KFP Executor" in line:
            skipping = "Got executor_input" in line
        elif skipping:
            skipping = not line.startswith("}")
        elif line.strip():
            yield line
