from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time

import psutil
import pytest

# A step that waits, and so does what it has started in the background.
RUN = """
import sys
from pathlib import Path

from kfp import dsl
from pipelines.local import LocalRun

@dsl.component(base_image="none", install_kfp_package=False)
def wait():
    import subprocess
    subprocess.Popen(["sleep", "1000"])
    process = subprocess.Popen(["sleep", "1000"])
    print("waiting", flush=True)
    process.wait()

@dsl.pipeline
def waiting():
    wait()

class Told:
    def started(self, task): print("started", task, flush=True)
    def line(self, task, text): print(text, flush=True)
    def ended(self, task, ok): print("ended", task, flush=True)

LocalRun(Path(sys.argv[1]), 1, Told()).run(waiting, {})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_step_and_what_it_has_started_end_with_their_run(tmp_path, number):
    # A file, as kfp reads the component's source.
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, tmp_path / "run.py", tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = list(itertools.takewhile(lambda line: line != "waiting\n", process.stdout))
        assert told == ["started wait\n"]
        steps = psutil.Process(process.pid).children(recursive=True)
        assert sum(step.name() == "sleep" for step in steps) == 2
        since = time.monotonic()
        process.send_signal(number)
        _, left = psutil.wait_procs(steps, timeout=10)
        assert left == []
        rest, _ = process.communicate(timeout=10)
        assert time.monotonic() - since < 10
        # A step that is cut off has not failed.
        assert "ended" not in rest
